//! Which part of the flash holds what.
//!
//! Every chip has the same table in its 4 MiB. There are two application slots, so
//! that a new firmware can be received while the old one runs; the table does not
//! have to change for that.

use core::ops::Range;

/// The size of the flash that the table is made for.
pub const FLASH_LEN: u32 = 0x40_0000;

/// A part of the flash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Partition {
    /// Its name in the table.
    pub name: &'static str,
    /// Where it begins.
    pub offset: u32,
    /// How long it is.
    pub len: u32,
}

impl Partition {
    /// From its first byte to behind its last.
    pub const fn range(&self) -> Range<u32> {
        self.offset..self.offset.saturating_add(self.len)
    }
}

/// Where the table itself is, for every chip.
pub const TABLE: Partition = Partition {
    name: "table",
    offset: 0x8000,
    len: 0x1000,
};

/// Which of the applications starts: the bootloader's own.
pub const OTA_DATA: Partition = Partition {
    name: "otadata",
    offset: 0x9000,
    len: 0x2000,
};

/// The configuration, written by a PC. The second half of it is spare.
pub const CONFIG: Partition = Partition {
    name: "config",
    offset: 0xb000,
    len: 0x2000,
};

/// The first application.
pub const OTA_0: Partition = Partition {
    name: "ota_0",
    offset: 0x1_0000,
    len: 0x1e_0000,
};

/// The second application.
pub const OTA_1: Partition = Partition {
    name: "ota_1",
    offset: 0x1f_0000,
    len: 0x1e_0000,
};

/// What the device keeps.
pub const STORE: Partition = Partition {
    name: "store",
    offset: 0x3d_0000,
    len: 0x3_0000,
};

/// Every partition, in the order of the flash.
pub const PARTITIONS: [Partition; 5] = [OTA_DATA, CONFIG, OTA_0, OTA_1, STORE];

/// The `virt` board's flash: one of QEMU's, with erase blocks of 256 KiB.
pub mod virt {
    use super::Partition;

    /// QEMU takes a file of this size and no other.
    pub const FLASH_LEN: u32 = 0x200_0000;

    /// The configuration.
    pub const CONFIG: Partition = Partition {
        name: "config",
        offset: 0,
        len: 0x4_0000,
    };

    /// What the device keeps.
    pub const STORE: Partition = Partition {
        name: "store",
        offset: 0x4_0000,
        len: 0x18_0000,
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One would overwrite the other, or an application would not start: the
    /// chips map them in pages of 64 KiB.
    #[test]
    fn partitions_lie_one_behind_the_other() {
        let mut end = TABLE.range().end;
        for partition in PARTITIONS {
            assert!(partition.offset >= end, "{}", partition.name);
            assert_eq!(partition.offset % 0x1000, 0);
            assert_eq!(partition.len % 0x1000, 0);
            if partition.name.starts_with("ota_") {
                assert_eq!(partition.offset % 0x1_0000, 0);
            }
            end = partition.range().end;
        }
        assert!(end <= FLASH_LEN);
        assert_eq!(OTA_0.len, OTA_1.len);
        assert!(virt::CONFIG.range().end <= virt::STORE.offset);
        assert!(virt::STORE.range().end <= virt::FLASH_LEN);
    }
}
