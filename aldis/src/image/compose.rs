//! What lies where in the flash, as one file.

use aldis_flash::{Chip, Config, layout};
use esp_idf_part::{AppType, DataType, Flags, Partition, PartitionTable, SubType, Type};

use super::firmware::Image;
use super::target::{Target, chip_of_id, espflash, every_chip};

/// What an erased flash reads as.
const ERASED: u8 = 0xff;
/// What images of a bootloader or an application begin with.
const MAGIC: u8 = 0xe9;
/// Where the chip's number is in their header.
const CHIP_AT: usize = 12;

/// The partition table of every chip.
pub fn table() -> Result<Vec<u8>, String> {
    let partitions = layout::PARTITIONS.iter().map(|partition| {
        let (kind, subtype) = match partition.name {
            "otadata" => (Type::Data, DataType::Ota.into()),
            "ota_0" => (Type::App, AppType::Ota_0.into()),
            "ota_1" => (Type::App, AppType::Ota_1.into()),
            _ => (Type::Data, SubType::from(DataType::Undefined)),
        };
        let (name, flags) = (partition.name, Flags::empty());
        Partition::new(name, kind, subtype, partition.offset, partition.len, flags)
    });
    let table = PartitionTable::new(partitions.collect());
    table
        .validate()
        .and_then(|()| table.to_bin())
        .map_err(|error| format!("the partition table cannot be made: {error}"))
}

/// The whole partition of the configuration.
pub fn config(target: Target, record: &[u8]) -> Vec<u8> {
    let mut partition = record.to_vec();
    partition.resize(target.config().len as usize, ERASED);
    partition
}

/// The flash of a chip from its beginning to the end of the application. What the device keeps
/// lies behind it.
pub fn whole(chip: Chip, image: &Image, record: &[u8]) -> Result<Vec<u8>, String> {
    let mut flash = vec![ERASED; layout::OTA_0.offset as usize];
    let mut put = |offset: u32, end: u32, bytes: &[u8]| {
        let place = flash
            .get_mut(offset as usize..end as usize)
            .and_then(|place| place.get_mut(..bytes.len()));
        match place {
            Some(place) => place.copy_from_slice(bytes),
            None => return Err(format!("what belongs at {offset:#x} does not fit there")),
        }
        Ok(())
    };
    let (table_at, config_at) = (layout::TABLE.range(), layout::CONFIG.range());
    let boot = espflash(chip).boot_address();
    put(boot, table_at.start, &image.bootloader)?;
    put(table_at.start, table_at.end, &table()?)?;
    let config = config(Target::Chip(chip), record);
    put(config_at.start, config_at.end, &config)?;
    flash.extend(&image.application);
    Ok(flash)
}

/// The flash of QEMU's machine.
pub fn virt(record: &[u8]) -> Vec<u8> {
    let mut flash = config(Target::Virt, record);
    flash.resize(layout::virt::FLASH_LEN as usize, ERASED);
    flash
}

/// A part of the flash that is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// What users call it.
    pub name: &'static str,
    pub offset: u32,
    pub bytes: Vec<u8>,
}

/// The parts of a file that [`whole`] made.
pub fn parts(chip: Chip, flash: &[u8]) -> Vec<Part> {
    let boot = espflash(chip).boot_address();
    let cut = [
        ("bootloader", boot, layout::TABLE.offset),
        ("configuration", layout::TABLE.offset, layout::OTA_0.offset),
        (
            "application",
            layout::OTA_0.offset,
            layout::OTA_0.range().end,
        ),
    ];
    cut.into_iter()
        .filter_map(|(name, offset, end)| {
            let end = flash.len().min(end as usize);
            let bytes = flash.get(offset as usize..end)?.to_vec();
            Some(Part {
                name,
                offset,
                bytes,
            })
        })
        .collect()
}

/// The part that has the configuration of a chip, by itself.
pub fn config_part(chip: Chip, record: &[u8]) -> Part {
    Part {
        name: "configuration",
        offset: layout::CONFIG.offset,
        bytes: config(Target::Chip(chip), record),
    }
}

/// What a file that [`whole`] made is.
#[derive(Debug, PartialEq, Eq)]
pub struct Found<'a> {
    pub chip: Chip,
    pub config: Config<'a>,
}

/// Looks whether a file is one that [`whole`] made.
pub fn find(flash: &[u8]) -> Result<Found<'_>, String> {
    const AGAIN: &str = "make one with `aldis image`";
    if flash.starts_with(b"ALDS") {
        return Err(
            "is a configuration alone: write it with `aldis flash --config-only --config FILE`, \
             or take the whole image"
                .into(),
        );
    }
    if flash.starts_with(b"\x7fELF") {
        return Err("is an ELF file: name it with `--firmware`, and `--config` beside it".into());
    }
    let application = flash.get(layout::OTA_0.offset as usize..);
    let application = application.filter(|application| application.first() == Some(&MAGIC));
    let Some(id) = application.and_then(chip_id) else {
        return Err(format!("is no image of a board's flash: {AGAIN}"));
    };
    let Some(chip) = chip_of_id(id) else {
        return Err(format!(
            "is an image for another chip (number {id}) than {}",
            every_chip()
        ));
    };
    let boot = flash.get(espflash(chip).boot_address() as usize..);
    let boot = boot.filter(|boot| boot.first() == Some(&MAGIC));
    if boot.and_then(chip_id) != Some(id) {
        return Err(format!(
            "has no bootloader for the {}: {AGAIN}",
            chip.as_str()
        ));
    }
    let table = table()?;
    let place = flash.get(layout::TABLE.offset as usize..);
    if place.is_none_or(|place| !place.starts_with(&table)) {
        return Err(format!(
            "has another partition table than this `aldis` writes: {AGAIN}"
        ));
    }
    if flash.len() > layout::OTA_0.range().end as usize {
        return Err(format!(
            "is longer than the application's slot, and would overwrite what the device keeps: \
             {AGAIN}"
        ));
    }
    let record = flash.get(layout::CONFIG.offset as usize..layout::CONFIG.range().end as usize);
    let config = Config::decode(record.unwrap_or_default())
        .map_err(|error| format!("its configuration is {error}"))?;
    Ok(Found { chip, config })
}

fn chip_id(image: &[u8]) -> Option<u16> {
    let bytes = image.get(CHIP_AT..)?.first_chunk()?;
    Some(u16::from_le_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Vec<u8> {
        let mut record = vec![0; 1_536];
        let len = Config::new("hub", 1883).encode(&mut record).unwrap();
        record.truncate(len);
        record
    }

    /// Images that are no programs, and are of this chip.
    fn image(chip: Chip) -> Image {
        let mut bytes = vec![MAGIC; 64];
        bytes[CHIP_AT..CHIP_AT + 2].copy_from_slice(&espflash(chip).id().to_le_bytes());
        Image {
            bootloader: bytes.clone(),
            application: bytes,
        }
    }

    /// A file for the wrong chip is written, or a good one refused.
    #[test]
    fn a_whole_file_is_recognized() {
        for chip in Chip::ALL {
            let flash = whole(chip, &image(chip), &record()).unwrap();
            let found = find(&flash).unwrap();
            assert_eq!(found.chip, chip);
            assert_eq!(found.config, Config::new("hub", 1883));
        }
    }

    /// Something that is no image stops the board for good, or until somebody flashes it again.
    #[test]
    fn what_is_no_whole_file_is_refused() {
        let flash = whole(Chip::Esp32, &image(Chip::Esp32), &record()).unwrap();
        let damaged = |at: u32| {
            let mut flash = flash.clone();
            flash[at as usize] ^= 0x40;
            find(&flash).unwrap_err()
        };
        assert!(damaged(0x1_0000).contains("is no image"));
        assert!(damaged(0x1_000c).contains("another chip (number 64)"));
        assert!(damaged(0x1000).contains("no bootloader for the esp32"));
        assert!(damaged(0x100c).contains("no bootloader for the esp32"));
        assert!(damaged(0x8004).contains("another partition table"));
        assert!(damaged(0xb000).contains("its configuration is damaged"));
        assert!(find(&[]).unwrap_err().contains("is no image"));
        assert!(
            find(&flash[..0x1_000d])
                .unwrap_err()
                .contains("is no image")
        );
        assert!(
            find(&record())
                .unwrap_err()
                .contains("a configuration alone")
        );
        assert!(find(b"\x7fELF").unwrap_err().contains("--firmware"));
        let mut long = flash.clone();
        long.resize(0x3d_0000, 0);
        assert!(find(&long).unwrap_err().contains("what the device keeps"));
    }

    /// A part that is forgotten, or one that overwrites what the device keeps.
    #[test]
    fn the_parts_are_the_file_without_what_is_kept() {
        for chip in Chip::ALL {
            let flash = whole(chip, &image(chip), &record()).unwrap();
            let parts = parts(chip, &flash);
            let mut written = vec![ERASED; flash.len()];
            for part in &parts {
                let at = part.offset as usize;
                written[at..at + part.bytes.len()].copy_from_slice(&part.bytes);
            }
            assert_eq!(written, flash);
            let names: Vec<_> = parts.iter().map(|part| part.name).collect();
            assert_eq!(names, ["bootloader", "configuration", "application"]);
            let part = config_part(chip, &record());
            assert_eq!((part.offset, part.bytes.len()), (0xb000, 0x2000));
            assert_eq!(part.bytes, flash[0xb000..0xd000]);
        }
    }

    /// A bootloader that has grown overwrites the table.
    #[test]
    fn what_does_not_fit_is_refused() {
        for chip in Chip::ALL {
            let room = 0x8000 - espflash(chip).boot_address() as usize;
            let mut image = image(chip);
            image.bootloader.resize(room, 0);
            assert!(whole(chip, &image, &record()).is_ok());
            image.bootloader.push(0);
            assert!(whole(chip, &image, &record()).is_err());
        }
    }
}
