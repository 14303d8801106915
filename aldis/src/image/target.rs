//! What a configuration or an image is for.

use std::fmt;

use aldis_flash::{Chip, layout};
use clap::builder::{PossibleValuesParser, TypedValueParser};

/// A chip, or QEMU's machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// A real one.
    Chip(Chip),
    /// The `virt` machine of QEMU.
    Virt,
}

impl Target {
    const VIRT: &'static str = "virt";

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Chip(chip) => chip.as_str(),
            Self::Virt => Self::VIRT,
        }
    }

    /// The part of the flash that has the configuration.
    pub const fn config(self) -> layout::Partition {
        match self {
            Self::Chip(_) => layout::CONFIG,
            Self::Virt => layout::virt::CONFIG,
        }
    }

    /// For clap: every target.
    pub fn parser() -> impl TypedValueParser<Value = Self> {
        let names = Chip::ALL.map(Chip::as_str).into_iter();
        PossibleValuesParser::new(names.chain([Self::VIRT])).try_map(|name| match &*name {
            Self::VIRT => Ok(Self::Virt),
            name => chip_named(name).map(Self::Chip).ok_or("no such chip"),
        })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// For clap: every chip.
pub fn chip_parser() -> impl TypedValueParser<Value = Chip> {
    PossibleValuesParser::new(Chip::ALL.map(Chip::as_str))
        .try_map(|name| chip_named(&name).ok_or("no such chip"))
}

/// The chip that tools call so.
pub fn chip_named(name: &str) -> Option<Chip> {
    Chip::ALL.into_iter().find(|chip| chip.as_str() == name)
}

/// The same chip, as `espflash` calls it.
pub const fn espflash(chip: Chip) -> espflash::target::Chip {
    use espflash::target::Chip as Theirs;
    match chip {
        Chip::Esp32 => Theirs::Esp32,
        Chip::Esp32C3 => Theirs::Esp32c3,
        Chip::Esp32C6 => Theirs::Esp32c6,
        Chip::Esp32S3 => Theirs::Esp32s3,
    }
}

/// The chip with this number in the headers of images.
pub fn chip_of_id(id: u16) -> Option<Chip> {
    Chip::ALL
        .into_iter()
        .find(|chip| espflash(*chip).id() == id)
}

/// `esp32, esp32c3, ...`
pub fn every_chip() -> String {
    Chip::ALL.map(Chip::as_str).join(", ")
}
