//! A firmware: the ELF file that the compiler makes, and the image that a chip starts.

use std::path::Path;

use aldis_flash::{Chip, layout};
use espflash::Error;
use espflash::flasher::{FlashData, FlashFrequency, FlashMode, FlashSettings, FlashSize};
use espflash::image_format::Metadata;
use espflash::image_format::idf::IdfBootloaderFormat;
use espflash::target::XtalFrequency;
use object::elf::{EM_RISCV, EM_XTENSA, PT_LOAD, SHF_ALLOC, SHT_INIT_ARRAY, SHT_PROGBITS};
use object::read::elf::{ElfFile32, ProgramHeader as _, SectionHeader as _};
use object::{Endianness, Object as _, ObjectSection as _, SectionFlags};

use super::target::{chip_named, espflash as theirs, every_chip};

/// What a chip starts, and what starts it.
pub struct Image {
    /// The second-stage bootloader.
    pub bootloader: Vec<u8>,
    /// The application, as it lies in its slot.
    pub application: Vec<u8>,
}

/// The section with the description that the bootloader wants to see.
const DESCRIPTION: &str = ".flash.appdesc";
const DESCRIPTION_LEN: usize = 256;
const DESCRIPTION_MAGIC: [u8; 4] = 0xabcd_5432_u32.to_le_bytes();
/// Where in it the size of a page is, as a power of two.
const PAGE_SIZE_AT: usize = 180;
/// The bootloader takes no more segments.
const MAX_SEGMENTS: u8 = 16;

/// Reads a firmware for a chip.
pub fn read(path: &Path, chip: Chip) -> Result<Image, String> {
    let name = path.display();
    let elf = std::fs::read(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => format!(
            "{name}: there is no such file: build it first, in the folder boards/esp with `cargo \
             {}`, and give the path from here",
            match chip {
                Chip::Esp32 | Chip::Esp32S3 => format!("+esp {}", chip.as_str()),
                Chip::Esp32C3 | Chip::Esp32C6 => chip.as_str().to_owned(),
            }
        ),
        _ => format!("{name}: cannot be read: {error}"),
    })?;
    make(&elf, chip).map_err(|what| format!("{name}: {what}"))
}

/// The chip that a firmware names, if it names one.
pub fn chip(elf: &[u8]) -> Option<Chip> {
    Metadata::from_bytes(Some(elf))
        .chip_name()
        .and_then(chip_named)
}

/// Makes the image of a firmware for a chip.
fn make(elf: &[u8], chip: Chip) -> Result<Image, String> {
    let file = parse(elf, chip)?;
    check_metadata(elf, chip)?;
    check_sections(&file, chip)?;
    check_description(&file, chip)?;
    let settings = FlashSettings::new(
        Some(FlashMode::Dio),
        Some(FlashSize::_4Mb),
        Some(FlashFrequency::_40Mhz),
    );
    // A revision asked for here could only raise what the firmware asks for.
    let data = FlashData::new(settings, 0, None, theirs(chip), XtalFrequency::_40Mhz);
    let image = IdfBootloaderFormat::new(elf, &data, None, None, None, None);
    let image = image.map_err(|error| match error {
        Error::ElfTooBig(len, _) => too_large(len as usize),
        error => format!("cannot be made an image: {error}"),
    })?;
    let boot = theirs(chip).boot_address();
    let (mut bootloader, mut application) = (None, None);
    for segment in image.flash_segments() {
        match segment.addr {
            addr if addr == boot => bootloader = Some(segment.data.into_owned()),
            addr if addr == layout::OTA_0.offset => application = Some(segment.data.into_owned()),
            // A partition table that is not ours.
            _ => {}
        }
    }
    let (Some(bootloader), Some(application)) = (bootloader, application) else {
        return Err("cannot be made an image: it has no application".into());
    };
    if application.len() > layout::OTA_0.len as usize {
        return Err(too_large(application.len()));
    }
    if application.get(1).is_none_or(|count| *count > MAX_SEGMENTS) {
        return Err(scattered());
    }
    Ok(Image {
        bootloader,
        application,
    })
}

fn too_large(len: usize) -> String {
    format!(
        "the application has {len} bytes, and its slot in the flash {}: build it with `--release`, \
         or leave something out",
        layout::OTA_0.len
    )
}

fn scattered() -> String {
    format!(
        "lies in more than {MAX_SEGMENTS} pieces of memory, which the bootloader does not take: \
         link it with esp-hal's `linkall.x`"
    )
}

const fn machine(chip: Chip) -> u16 {
    match chip {
        Chip::Esp32 | Chip::Esp32S3 => EM_XTENSA.0,
        Chip::Esp32C3 | Chip::Esp32C6 => EM_RISCV.0,
    }
}

/// The file, if it is one for this kind of processor.
fn parse(elf: &[u8], chip: Chip) -> Result<ElfFile32<'_, Endianness>, String> {
    if elf.first() == Some(&0xe9) {
        return Err(
            "is an image already, and no ELF file: name the file that `cargo build` made".into(),
        );
    }
    let (true, Some(class), Some(machine_of_file)) = (
        elf.starts_with(b"\x7fELF"),
        elf.get(4),
        elf.get(18..20).and_then(|bytes| bytes.try_into().ok()),
    ) else {
        return Err(
            "is no ELF file: name the file that `cargo build` made, such as \
             target/.../release/aldis-esp"
                .into(),
        );
    };
    let machine_of_file = u16::from_le_bytes(machine_of_file);
    if machine_of_file != machine(chip) || *class != 1 {
        let (processor, is_chip) = match (machine_of_file, class) {
            (n, 1) if n == EM_XTENSA.0 => ("an Xtensa chip (esp32, esp32s3)".into(), true),
            (n, 1) if n == EM_RISCV.0 => ("a RISC-V chip (esp32c3, esp32c6)".into(), true),
            (n, 2) if n == EM_RISCV.0 => ("a 64-bit RISC-V machine".into(), false),
            (62, _) => ("an x86-64 PC".into(), false),
            (3, _) => ("an x86 PC".into(), false),
            (183, _) => ("a 64-bit ARM machine".into(), false),
            (40, _) => ("a 32-bit ARM processor".into(), false),
            (n, _) => (format!("another processor (number {n})"), false),
        };
        let hint = match is_chip {
            true => "name the right chip with `--chip`, or build for this one",
            false => "name the one that was built for the chip",
        };
        return Err(format!(
            "is a program for {processor}, and not firmware for the {}: {hint}",
            chip.as_str()
        ));
    }
    let file = ElfFile32::<Endianness>::parse(elf).map_err(damaged)?;
    match file.endian() {
        Endianness::Little => Ok(file),
        Endianness::Big => Err(damaged("big-endian")),
    }
}

fn damaged(what: impl std::fmt::Display) -> String {
    format!("is damaged ({what}): build it again")
}

/// What the firmware says about itself.
fn check_metadata(elf: &[u8], chip: Chip) -> Result<(), String> {
    let metadata = Metadata::from_bytes(Some(elf));
    if let Some(name) = metadata.chip_name()
        && name != chip.as_str()
    {
        let hint = match chip_named(name) {
            Some(_) => format!("name that one with `--chip {name}`, or build for this one"),
            None => format!("build it for one of {}", every_chip()),
        };
        return Err(format!(
            "is firmware for the {name}, and not for the {}: {hint}",
            chip.as_str()
        ));
    }
    // The bootloader refuses what asks for more than the chip is; many of the first are in use.
    match (chip, metadata.min_chip_revision()) {
        (Chip::Esp32, Some(revision)) if revision > 0 => Err(format!(
            "would not start on an ESP32 older than revision {}.{}: build it with \
             ESP_HAL_CONFIG_MIN_CHIP_REVISION=0, as boards/esp does",
            revision / 100,
            revision % 100
        )),
        _ => Ok(()),
    }
}

/// That what is loaded lies side by side in memory, which `espflash` takes for granted.
fn check_sections(file: &ElfFile32<'_, Endianness>, chip: Chip) -> Result<(), String> {
    let endian = Endianness::Little;
    let mut ranges = Vec::new();
    for section in file.sections() {
        let header = section.elf_section_header();
        let kind = header.sh_type(endian);
        let is_loaded = (kind == SHT_PROGBITS || kind == SHT_INIT_ARRAY)
            && matches!(section.flags(), SectionFlags::Elf { sh_flags, .. } if sh_flags.0 != 0);
        if !is_loaded || section.size() == 0 || section.address() == 0 {
            continue;
        }
        let name = section.name().unwrap_or("?");
        let wrong = || damaged(format_args!("section {name}"));
        let data = section.data().map_err(|_| wrong())?;
        let start = load_address(file, chip, section.address()).ok_or_else(wrong)?;
        // Nothing is mapped there, and behind the last byte something is added.
        let end = start + data.len() as u64;
        if start < 0x1000 || end > u64::from(u32::MAX) - 0x1000 {
            return Err(wrong());
        }
        ranges.push((start, end, name));
    }
    // The image counts them in a byte.
    if ranges.len() > 100 {
        return Err(scattered());
    }
    ranges.sort_unstable();
    for pair in ranges.windows(2) {
        if let [(_, end, one), (start, _, other)] = pair
            && start < end
        {
            return Err(damaged(format_args!("sections {one} and {other} overlap")));
        }
    }
    Ok(())
}

/// Where `espflash` puts what is at this address, if it can.
fn load_address(file: &ElfFile32<'_, Endianness>, chip: Chip, address: u64) -> Option<u64> {
    let endian = Endianness::Little;
    let header = file
        .elf_program_headers()
        .iter()
        .filter(|header| header.p_type(endian) == PT_LOAD)
        .find(|header| {
            let start = u64::from(header.p_vaddr(endian));
            let end = start + u64::from(header.p_memsz(endian));
            (start..end.min(u64::from(u32::MAX))).contains(&address)
        });
    let Some(header) = header else {
        return Some(address);
    };
    let behind = address.checked_sub(u64::from(header.p_vaddr(endian)))?;
    let loaded = u32::try_from(u64::from(header.p_paddr(endian)) + behind).ok()?;
    match theirs(chip).addr_is_flash(loaded) {
        true => Some(address),
        false => Some(u64::from(loaded)),
    }
}

/// That the bootloader will find what it looks for.
fn check_description(file: &ElfFile32<'_, Endianness>, chip: Chip) -> Result<(), String> {
    let Some(section) = file.section_by_name(DESCRIPTION) else {
        return Err("has no description for the bootloader: the firmware needs \
             `esp_bootloader_esp_idf::esp_app_desc!()`"
            .into());
    };
    let data = section.data().map_err(damaged)?;
    if data.len() < DESCRIPTION_LEN || !data.starts_with(&DESCRIPTION_MAGIC) {
        return Err(damaged(format_args!("section {DESCRIPTION}")));
    }
    let address = u32::try_from(section.address()).map_err(damaged)?;
    if !theirs(chip).addr_is_flash(address) {
        return Err(format!(
            "has its description for the bootloader at {address:#x}, where the {} has no flash: \
             is it firmware for another chip?",
            chip.as_str()
        ));
    }
    let is_loaded = section.elf_section_header().sh_type(Endianness::Little) == SHT_PROGBITS
        && section.elf_section_header().sh_flags(Endianness::Little).0 & SHF_ALLOC.0 != 0;
    let stays = load_address(file, chip, section.address()) == Some(section.address());
    let page_size = data.get(PAGE_SIZE_AT).copied().unwrap_or_default();
    if !is_loaded || !stays || !matches!(page_size, 0 | 13..=16) {
        return Err(damaged(format_args!("section {DESCRIPTION}")));
    }
    Ok(())
}

#[cfg(test)]
#[path = "../../tests/common/elf.rs"]
#[allow(dead_code)]
mod elf;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Small, so that many can be made.
    fn firmware() -> elf::Elf {
        let mut firmware = elf::firmware(elf::ESP32C3);
        firmware.section(".text").data.truncate(64);
        firmware.section(".rodata").data.truncate(33);
        firmware
    }

    /// A file that is damaged ends the program, instead of being refused.
    #[test]
    fn no_damage_does_harm() {
        let whole = firmware().bytes();
        assert!(make(&whole, Chip::Esp32C3).is_ok());
        for at in 0..whole.len() {
            // Not what is only copied.
            if noise_begins(&whole, at) {
                continue;
            }
            let mut damaged = whole.clone();
            damaged[at] ^= 0x91;
            let _ = make(&damaged, Chip::Esp32C3);
            let _ = make(&whole[..at], Chip::Esp32C3);
            let _ = chip(&damaged);
        }
    }

    fn noise_begins(whole: &[u8], at: usize) -> bool {
        let noise = elf::noise(402, 3);
        let begin = whole.windows(noise.len()).position(|bytes| bytes == noise);
        begin.is_some_and(|begin| (begin..begin + noise.len()).contains(&at))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        /// Damage in several places, and files of other kinds.
        #[test]
        fn garbage_is_refused(
            damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
            garbage: Vec<u8>,
        ) {
            let mut file = firmware().bytes();
            for (at, byte) in damage {
                let at = at.index(file.len());
                file[at] = byte;
            }
            let _ = make(&file, Chip::Esp32C3);
            prop_assert!(make(&garbage, Chip::Esp32C3).is_err());
        }
    }

    /// Sections without end, which the image counts in a byte.
    #[test]
    fn scattered_firmware_is_refused() {
        for pieces in [17, 300] {
            let mut firmware = firmware();
            firmware
                .sections
                .extend((0..pieces).map(|number| elf::Section {
                    name: ".piece",
                    address: 0x4038_1000 + 64 * number,
                    data: vec![1; 4],
                    alloc: true,
                }));
            let error = make(&firmware.bytes(), Chip::Esp32C3).err().unwrap();
            assert!(error.contains("more than 16 pieces"), "{error}");
        }
    }
}
