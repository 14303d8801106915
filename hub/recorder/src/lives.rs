//! Which life of a device is its present one.

use std::collections::HashMap;

use aldis_history::DeviceKey;

/// The present lives of devices, as the store last said.
#[derive(Debug, Default)]
pub(crate) struct Lives {
    of: HashMap<DeviceKey, u32>,
}

impl Lives {
    /// This is the present life of the device.
    pub fn is(&mut self, device: &DeviceKey, life: u32) {
        if self.of.get(device) != Some(&life) {
            self.of.insert(device.clone(), life);
        }
    }

    /// The present life of the device; 0 if none is known.
    pub fn present(&self, device: &DeviceKey) -> u32 {
        self.of.get(device).copied().unwrap_or(0)
    }
}
