//! A board at a serial port: its bootloader writes the flash.

use std::borrow::Cow;
use std::error::Error as _;
use std::io::Write;
use std::time::Duration;

use aldis_flash::{Chip, layout};
use espflash::Error;
use espflash::connection::{Connection, ResetAfterOperation, ResetBeforeOperation};
use espflash::flasher::Flasher;
use espflash::image_format::Segment;
use serialport::{FlowControl, SerialPort};

use super::port::{self, Port};
use super::progress::Progress;
use crate::image::compose::Part;
use crate::image::target::{chip_of_id, every_chip};

/// How fast bootloaders and consoles speak.
const CONSOLE_BAUD: u32 = 115_200;
/// How long reading the console waits.
const CONSOLE_PATIENCE: Duration = Duration::from_millis(200);

/// A board whose bootloader answers.
pub struct Board {
    flasher: Flasher,
    port: String,
    pub chip: Chip,
    /// The chip's revision, such as `3.0`.
    pub revision: Option<String>,
    pub mac: Option<String>,
}

/// How to reach a board.
#[derive(Clone, Copy, Debug)]
pub struct How {
    pub baud: u32,
    /// The board is in download mode already.
    pub is_ready: bool,
}

impl Board {
    /// Opens the port and wakes the bootloader.
    pub fn connect(port: &Port, how: How) -> Result<Self, String> {
        let serial = serialport::new(&port.name, CONSOLE_BAUD)
            .flow_control(FlowControl::None)
            .open_native()
            .map_err(|error| port::unopened(port, &error, &port::all()))?;
        let before = match how.is_ready {
            true => ResetBeforeOperation::NoReset,
            false => ResetBeforeOperation::DefaultReset,
        };
        let connection = Connection::new(
            serial,
            port.usb.clone(),
            // That is done here, when the console can be heard.
            ResetAfterOperation::NoResetNoStub,
            before,
            CONSOLE_BAUD,
        );
        let flasher = Flasher::connect(connection, true, true, true, None, Some(how.baud));
        let mut flasher = flasher.map_err(|error| unconnected(&port.name, &error))?;
        let Some(chip) = chip_of_id(flasher.chip().id()) else {
            // It goes on with what it has.
            let _ = flasher.connection().reset();
            return Err(unknown(&flasher.chip().to_string()));
        };
        let info = flasher
            .device_info()
            .map_err(|error| unconnected(&port.name, &error))?;
        if info.flash_size.size() < layout::FLASH_LEN {
            let _ = flasher.connection().reset();
            return Err(format!(
                "the board's flash has {} KiB, and {} are needed: take another board",
                info.flash_size.size() >> 10,
                layout::FLASH_LEN >> 10
            ));
        }
        Ok(Self {
            flasher,
            port: port.name.clone(),
            chip,
            revision: info
                .revision
                .map(|(major, minor)| format!("{major}.{minor}")),
            mac: info.mac_address,
        })
    }

    /// Writes the parts and reads them back.
    pub fn write<W: Write>(
        &mut self,
        parts: &[Part],
        mut progress: Progress<W>,
    ) -> Result<(), String> {
        let segments: Vec<_> = parts
            .iter()
            .map(|part| Segment {
                addr: part.offset,
                data: Cow::Borrowed(&part.bytes[..]),
            })
            .collect();
        let written = self.flasher.write_bins_to_flash(&segments, &mut progress);
        written.map_err(|error| {
            progress.interrupted();
            unwritten(&self.port, &error)
        })
    }

    /// Starts what was written; gives the port, where it can be heard.
    pub fn start(mut self) -> Result<Console, String> {
        let connection = self.flasher.connection();
        let gone = |what: &dyn std::fmt::Display| format!("{}: {what}", self.port);
        connection
            .set_baud(CONSOLE_BAUD)
            .map_err(|error| gone(&reason(&error)))?;
        let was_reset = connection.reset().is_ok();
        let mut port: espflash::connection::Port = self.flasher.into();
        port.set_timeout(CONSOLE_PATIENCE)
            .map_err(|error| gone(&error))?;
        Ok(Console { port, was_reset })
    }
}

/// A board that runs its firmware.
pub struct Console {
    pub port: espflash::connection::Port,
    /// If not, somebody has to press the button.
    pub was_reset: bool,
}

/// Listens to a board that runs already, and leaves it as it is.
pub fn listen(port: &Port) -> Result<Console, String> {
    let serial = serialport::new(&port.name, CONSOLE_BAUD)
        .flow_control(FlowControl::None)
        .timeout(CONSOLE_PATIENCE)
        .open_native()
        .map_err(|error| port::unopened(port, &error, &port::all()))?;
    Ok(Console {
        port: serial,
        was_reset: false,
    })
}

/// Why there is no connection, and what to do.
fn unconnected(port: &str, error: &Error) -> String {
    match error {
        Error::ChipDetectError(_) => unknown("another one"),
        Error::FlashConnect | Error::UnsupportedFlash(_) => format!(
            "{port}: the board's flash does not answer: power the board off and on, and try again"
        ),
        error => format!(
            "{port}: the board does not answer ({}): hold its BOOT button while `aldis` connects. \
             If that does not help: is it the right port, does the cable carry data, and is \
             `--baud 115200` better?",
            reason(error)
        ),
    }
}

fn unknown(chip: &str) -> String {
    format!(
        "the board's chip is {chip}, for which there is no firmware: there is for {}",
        every_chip()
    )
}

/// Why writing ended early, and what to do.
fn unwritten(port: &str, error: &Error) -> String {
    match error {
        Error::VerifyFailed => format!(
            "{port}: what is read back is not what was written: try again; if it happens again, \
             the flash is worn or the supply is too weak"
        ),
        error => format!(
            "{port}: writing ended early ({}): try again, with `--baud 115200` if it happens \
             again. Until then the board does not start",
            reason(error)
        ),
    }
}

/// An error with its cause, in lower case as in the middle of a sentence.
fn reason(error: &Error) -> String {
    let said = match error.source() {
        Some(source) => source.to_string(),
        None => error.to_string(),
    };
    let mut letters = said.chars();
    match letters.next() {
        Some(first) => first.to_lowercase().chain(letters).collect(),
        None => said,
    }
}

/// Whether an image or configuration is for the chip that is there.
pub fn check_chip(board: Chip, wanted: Chip, whose: &str) -> Result<(), String> {
    if board == wanted {
        return Ok(());
    }
    let (board, wanted) = (board.as_str(), wanted.as_str());
    Err(format!(
        "the board has an {board}, but {whose} is for the {wanted}: nothing was written. Connect \
         the other board, or make an image with `--chip {board}`"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The library's words, which do not say what to do.
    #[test]
    fn errors_say_what_to_do() {
        let timeout = || Error::Connection("Timeout while running Sync command".into());
        let said = unconnected("/dev/ttyUSB0", &timeout());
        assert!(said.starts_with(
            "/dev/ttyUSB0: the board does not answer (timeout while running Sync command): hold \
             its BOOT button"
        ));
        let said = unconnected(
            "p",
            &Error::ChipDetectError("unrecognized magic value".into()),
        );
        assert!(said.contains("esp32, esp32c3, esp32c6, esp32s3"), "{said}");
        assert!(unconnected("p", &Error::FlashConnect).contains("power the board off"));
        assert!(unwritten("p", &Error::VerifyFailed).contains("supply"));
        let said = unwritten("p", &Error::Flashing("Broken".into()));
        assert!(said.contains("(broken)") && said.contains("--baud 115200"));
    }

    /// An image for one chip is written to another, which does not start then.
    #[test]
    fn chips_are_compared() {
        assert!(check_chip(Chip::Esp32, Chip::Esp32, "device.bin").is_ok());
        let said = check_chip(Chip::Esp32, Chip::Esp32C3, "device.bin").unwrap_err();
        assert!(said.contains("has an esp32, but device.bin is for the esp32c3"));
    }
}
