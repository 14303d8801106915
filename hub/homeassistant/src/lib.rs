//! Announces devices to Home Assistant.
