//! Topics and payloads that device and hub share.
#![no_std]
