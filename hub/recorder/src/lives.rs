//! Which life of a device is its present one.

use std::collections::HashMap;

use aldis_history::DeviceKey;

/// The lives of devices, in the order in which they were first seen.
#[derive(Debug, Default)]
pub(crate) struct Lives {
    of: HashMap<DeviceKey, Vec<u32>>,
}

impl Lives {
    /// Whether this life is known of the device.
    pub fn knows(&self, device: &DeviceKey, life: u32) -> bool {
        let lives = self.of.get(device);
        lives.is_some_and(|lives| lives.contains(&life))
    }

    /// The lives of a device, as the store has them.
    pub fn are(&mut self, device: &DeviceKey, lives: Vec<u32>) {
        self.of.insert(device.clone(), lives);
    }

    /// The one that was first seen last; 0 if none is known. A reading of an earlier one may
    /// still come, but only numbers of this one mean something to the device.
    pub fn present(&self, device: &DeviceKey) -> u32 {
        let lives = self.of.get(device);
        lives.and_then(|lives| lives.last()).copied().unwrap_or(0)
    }
}
