//! An MQTT 3.1.1 and 5 client session.
#![no_std]
