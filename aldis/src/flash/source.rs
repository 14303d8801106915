//! What is to be written.

use std::path::{Path, PathBuf};

use aldis_flash::Chip;

use crate::image::compose::{self, Part};
use crate::image::settings::{Settings, describe};
use crate::image::target::Target;
use crate::image::{firmware, of_slot, read};

/// What the user named.
pub enum Source {
    /// A file that `aldis image` made.
    Image(PathBuf),
    /// A firmware and its configuration.
    Firmware { elf: PathBuf, config: PathBuf },
    /// A configuration alone.
    Config(PathBuf),
}

/// Parts of the flash, and what they are.
pub struct Job {
    pub chip: Chip,
    pub parts: Vec<Part>,
    /// A line for people.
    pub about: String,
}

impl Source {
    /// The file that tells the chip, for messages.
    pub fn name(&self) -> String {
        let (Self::Image(path) | Self::Firmware { elf: path, .. } | Self::Config(path)) = self;
        path.display().to_string()
    }

    /// The chip that it is for, as far as it tells.
    pub fn chip(&self) -> Option<Chip> {
        match self {
            Self::Image(path) => Some(compose::find(&std::fs::read(path).ok()?).ok()?.chip),
            Self::Firmware { elf, .. } => firmware::chip(&std::fs::read(elf).ok()?),
            Self::Config(_) => None,
        }
    }

    /// What is wrong with the files whatever chip they are for.
    pub fn check(&self) -> Result<(), String> {
        let mut first = Ok(());
        for chip in Chip::ALL {
            let checked = match self {
                Self::Image(path) => image(path).map(|_| ()),
                Self::Firmware { elf, config } => firmware::read(elf, chip)
                    .and_then(|_| Settings::read(config, Target::Chip(chip)).map(|_| ())),
                Self::Config(config) => Settings::read(config, Target::Chip(chip)).map(|_| ()),
            };
            match checked {
                Ok(()) => return Ok(()),
                Err(what) => first = first.and(Err(what)),
            }
        }
        first
    }

    /// Reads and checks everything. An image is for the chip that it says.
    pub fn job(&self, chip: Chip) -> Result<Job, String> {
        match self {
            Self::Image(path) => image(path),
            Self::Firmware { elf, config } => {
                let (settings, image) = read(config, Target::Chip(chip), Some((chip, elf)))?;
                let image = image.ok_or_else(|| format!("{}: has no image", elf.display()))?;
                let flash = compose::whole(chip, &image, &settings.record)?;
                let (id, ssid) = (settings.id.as_deref(), settings.ssid.as_deref());
                let config = describe(id, ssid, &settings.broker);
                Ok(Job {
                    chip,
                    parts: compose::parts(chip, &flash),
                    about: format!("{}; {config}", of_slot(image.application.len())),
                })
            }
            Self::Config(config) => {
                let (settings, _) = read(config, Target::Chip(chip), None)?;
                let (id, ssid) = (settings.id.as_deref(), settings.ssid.as_deref());
                Ok(Job {
                    chip,
                    parts: vec![compose::config_part(chip, &settings.record)],
                    about: describe(id, ssid, &settings.broker),
                })
            }
        }
    }
}

fn image(path: &Path) -> Result<Job, String> {
    let name = path.display();
    let flash = std::fs::read(path).map_err(|error| format!("{name}: cannot be read: {error}"))?;
    let found = compose::find(&flash).map_err(|what| format!("{name}: {what}"))?;
    let parts = compose::parts(found.chip, &flash);
    let application = parts.last().map_or(0, |part| part.bytes.len());
    let config = &found.config;
    let broker = format!("{}:{}", config.host, config.port);
    let config = describe(config.id, config.wifi.map(|wifi| wifi.ssid), &broker);
    Ok(Job {
        chip: found.chip,
        about: format!("{}; {config}", of_slot(application)),
        parts,
    })
}
