//! Which pins a chip has, and what they can be used for.
//!
//! Sources: the data sheets of the ESP32 (sections 2.2 and 2.4, "Strapping Pins"),
//! ESP32-C3, ESP32-C6 and ESP32-S3, and those of their modules with flash inside.

use core::fmt;

/// A chip that the firmware runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chip {
    /// The classic one, as on the ESP32-WROOM-32.
    Esp32,
    /// ESP32-C3.
    Esp32C3,
    /// ESP32-C6.
    Esp32C6,
    /// ESP32-S3.
    Esp32S3,
}

/// What a pin is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The lamp.
    Led,
    /// The climate sensor's data line.
    Dht22,
    /// The display's clock line.
    Scl,
    /// The display's data line.
    Sda,
    /// The button.
    Button,
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 5] = [Self::Led, Self::Dht22, Self::Scl, Self::Sda, Self::Button];

    /// The key of the configuration file.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Led => "led",
            Self::Dht22 => "dht22",
            Self::Scl => "scl",
            Self::Sda => "sda",
            Self::Button => "button",
        }
    }

    /// Whether something pulls the line up, also while the chip starts.
    const fn is_pulled_up(self) -> bool {
        !matches!(self, Self::Led)
    }

    /// Whether the chip drives it.
    const fn is_driven(self) -> bool {
        !matches!(self, Self::Button)
    }
}

/// The pins of a device: GPIO numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pins {
    /// The lamp.
    pub led: u8,
    /// The climate sensor's data line.
    pub dht22: u8,
    /// The display's clock line.
    pub scl: u8,
    /// The display's data line.
    pub sda: u8,
    /// The button.
    pub button: u8,
}

impl Pins {
    /// The pin of a role.
    pub const fn get(&self, role: Role) -> u8 {
        match role {
            Role::Led => self.led,
            Role::Dht22 => self.dht22,
            Role::Scl => self.scl,
            Role::Sda => self.sda,
            Role::Button => self.button,
        }
    }
}

/// What there is to say about a pin that can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing.
    Fine,
    /// This.
    Warning(&'static str),
}

/// Why a pin cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal(&'static str);

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl core::error::Error for Refusal {}

impl Chip {
    /// Every chip.
    pub const ALL: [Self; 4] = [Self::Esp32, Self::Esp32C3, Self::Esp32C6, Self::Esp32S3];

    /// Its name, as tools spell it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Esp32 => "esp32",
            Self::Esp32C3 => "esp32c3",
            Self::Esp32C6 => "esp32c6",
            Self::Esp32S3 => "esp32s3",
        }
    }

    /// The pins that are used where the configuration names none.
    pub const fn pins(self) -> Pins {
        match self {
            // The DOIT DevKit V1's blue LED, and where its users solder the rest.
            Self::Esp32 => Pins {
                led: 2,
                dht22: 14,
                scl: 22,
                sda: 21,
                button: 0,
            },
            Self::Esp32C3 => Pins {
                led: 3,
                dht22: 4,
                scl: 7,
                sda: 6,
                button: 9,
            },
            Self::Esp32C6 => Pins {
                led: 3,
                dht22: 2,
                scl: 7,
                sda: 6,
                button: 9,
            },
            Self::Esp32S3 => Pins {
                led: 2,
                dht22: 14,
                scl: 9,
                sda: 8,
                button: 0,
            },
        }
    }

    /// Whether the chip has this GPIO at all.
    pub const fn has(self, pin: u8) -> bool {
        match self {
            Self::Esp32 => matches!(pin, 0..=19 | 21..=23 | 25..=27 | 32..=39),
            Self::Esp32C3 => pin <= 21,
            Self::Esp32C6 => pin <= 30,
            Self::Esp32S3 => matches!(pin, 0..=21 | 26..=48),
        }
    }

    /// Whether a pin can be used for something.
    ///
    /// # Errors
    /// If it cannot, with the reason.
    pub const fn check(self, role: Role, pin: u8) -> Result<Verdict, Refusal> {
        if !self.has(pin) {
            return Err(Refusal(match self {
                Self::Esp32 => {
                    "the ESP32 has no such GPIO: it has 0 to 19, 21 to 23, 25 to 27 and 32 to 39"
                }
                Self::Esp32C3 => "the ESP32-C3 has no such GPIO: it has 0 to 21",
                Self::Esp32C6 => "the ESP32-C6 has no such GPIO: it has 0 to 30",
                Self::Esp32S3 => "the ESP32-S3 has no such GPIO: it has 0 to 21 and 26 to 48",
            }));
        }
        match self {
            Self::Esp32 => esp32(role, pin),
            Self::Esp32C3 => esp32c3(role, pin),
            Self::Esp32C6 => esp32c6(role, pin),
            Self::Esp32S3 => esp32s3(role, pin),
        }
    }

    /// Whether the lamp on this pin takes the console's place.
    pub const fn silences_console(self, led: u8) -> bool {
        led == self.console()
    }

    /// The pin on which the console speaks.
    const fn console(self) -> u8 {
        match self {
            Self::Esp32 => 1,
            Self::Esp32C3 => 21,
            Self::Esp32C6 => 16,
            Self::Esp32S3 => 43,
        }
    }
}

const FLASH: Refusal = Refusal("the flash is connected to it");
const CONSOLE: Refusal =
    Refusal("the console speaks on it; only the lamp may take its place, and silences it");
const SILENCED: Verdict = Verdict::Warning(
    "the console speaks on it: with the lamp there the console is silent, and the lamp flickers \
     while the board starts",
);
const CONSOLE_INPUT: Verdict =
    Verdict::Warning("it is the console's input: the board's USB chip drives it too");
const USB: Verdict = Verdict::Warning("it belongs to the chip's USB port, which is lost with it");
const LOW_AT_START: Verdict = Verdict::Warning(
    "it must not be low when power comes on, or the board waits for a download: mind what is \
     connected to it",
);
const BOOT_BUTTON: Refusal = Refusal(
    "the BOOT button is on it, and the chip waits for a download if it is low when power comes on",
);

/// The pin on which the console speaks.
const fn console(role: Role) -> Result<Verdict, Refusal> {
    match role {
        Role::Led => Ok(SILENCED),
        _ => Err(CONSOLE),
    }
}

/// The pin of the BOOT button.
const fn boot_button(role: Role) -> Result<Verdict, Refusal> {
    match role {
        Role::Button => Ok(Verdict::Fine),
        Role::Led => Err(BOOT_BUTTON),
        _ => Ok(LOW_AT_START),
    }
}

const fn esp32(role: Role, pin: u8) -> Result<Verdict, Refusal> {
    match pin {
        6..=11 => Err(FLASH),
        34..=39 if role.is_driven() => Err(Refusal(
            "GPIO34 to GPIO39 of the ESP32 are inputs only: the chip cannot drive them",
        )),
        34..=39 => Ok(Verdict::Warning(
            "it has no pull-up inside: the button needs a resistor of 10 kOhm to 3.3 V",
        )),
        12 if role.is_pulled_up() => Err(Refusal(
            "it must be low when power comes on (it chooses the flash's voltage), and something \
             pulls this line up: the board would not start",
        )),
        12 => Ok(Verdict::Warning(
            "it must be low when power comes on: connect the LED to ground, not to 3.3 V",
        )),
        2 if role.is_pulled_up() => Ok(Verdict::Warning(
            "while something pulls it up, the board takes no download: take that off to flash it",
        )),
        0 => boot_button(role),
        1 => console(role),
        3 => Ok(CONSOLE_INPUT),
        _ => Ok(Verdict::Fine),
    }
}

const fn esp32c3(role: Role, pin: u8) -> Result<Verdict, Refusal> {
    match pin {
        11 => Err(Refusal("it feeds the flash with power")),
        12..=17 => Err(FLASH),
        18 | 19 => Ok(USB),
        21 => console(role),
        20 => Ok(CONSOLE_INPUT),
        9 => boot_button(role),
        2 | 8 => Ok(LOW_AT_START),
        _ => Ok(Verdict::Fine),
    }
}

const fn esp32c6(role: Role, pin: u8) -> Result<Verdict, Refusal> {
    match pin {
        24..=30 => Err(FLASH),
        12 | 13 => Ok(USB),
        16 => console(role),
        17 => Ok(CONSOLE_INPUT),
        9 => boot_button(role),
        8 => Ok(LOW_AT_START),
        _ => Ok(Verdict::Fine),
    }
}

const fn esp32s3(role: Role, pin: u8) -> Result<Verdict, Refusal> {
    match pin {
        26..=32 => Err(FLASH),
        33..=37 => Ok(Verdict::Warning(
            "modules with octal flash or PSRAM (such as N8R8) have it connected inside",
        )),
        45 if role.is_pulled_up() => Err(Refusal(
            "it must be low when power comes on (it chooses the flash's voltage), and something \
             pulls this line up: the board would not start",
        )),
        19 | 20 => Ok(USB),
        43 => console(role),
        44 => Ok(CONSOLE_INPUT),
        0 => boot_button(role),
        _ => Ok(Verdict::Fine),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A configuration without pins would be refused, or warned about.
    #[test]
    fn the_defaults_can_be_used() {
        for chip in Chip::ALL {
            let pins = chip.pins();
            for role in Role::ALL {
                let pin = pins.get(role);
                assert_eq!(
                    chip.check(role, pin),
                    Ok(Verdict::Fine),
                    "{} of {}",
                    role.as_str(),
                    chip.as_str()
                );
                let same = Role::ALL.iter().filter(|other| pins.get(**other) == pin);
                assert_eq!(same.count(), 1);
            }
        }
    }

    fn refused(chip: Chip, role: Role, pin: u8) -> String {
        chip.check(role, pin).unwrap_err().to_string()
    }

    /// A firmware that drives the flash's pins crashes; a line pulled up in the
    /// wrong place keeps the board from starting.
    #[test]
    fn what_cannot_work_is_refused() {
        use Chip::{Esp32, Esp32C3, Esp32C6, Esp32S3};
        for pin in 6..=11 {
            assert!(refused(Esp32, Role::Led, pin).contains("flash"));
        }
        for pin in [20, 24, 28, 31, 40, 255] {
            assert!(refused(Esp32, Role::Button, pin).contains("no such GPIO"));
        }
        for pin in 34..=39 {
            assert!(refused(Esp32, Role::Dht22, pin).contains("inputs only"));
            assert!(matches!(
                Esp32.check(Role::Button, pin),
                Ok(Verdict::Warning(_))
            ));
        }
        assert!(refused(Esp32, Role::Dht22, 12).contains("would not start"));
        assert!(matches!(
            Esp32.check(Role::Dht22, 2),
            Ok(Verdict::Warning(_))
        ));
        assert!(refused(Esp32, Role::Led, 0).contains("BOOT"));
        assert!(refused(Esp32, Role::Dht22, 1).contains("console"));
        assert!(refused(Esp32C3, Role::Dht22, 14).contains("flash"));
        assert!(refused(Esp32C3, Role::Scl, 22).contains("no such GPIO"));
        assert!(refused(Esp32C3, Role::Led, 11).contains("power"));
        assert!(refused(Esp32C6, Role::Led, 24).contains("flash"));
        assert!(refused(Esp32S3, Role::Led, 22).contains("no such GPIO"));
        assert!(refused(Esp32S3, Role::Sda, 27).contains("flash"));
    }

    /// The first boards have their lamp there.
    #[test]
    fn the_lamp_may_silence_the_console() {
        assert_eq!(Chip::Esp32.check(Role::Led, 1), Ok(SILENCED));
        assert!(Chip::Esp32.silences_console(1));
        for chip in Chip::ALL {
            assert!(!chip.silences_console(chip.pins().led));
        }
    }
}
