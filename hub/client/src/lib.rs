//! The MQTT client of what works beside the broker.
