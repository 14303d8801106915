//! The panel behind its bus: brought to show the frame, in small steps, whatever happens.

use core::cell::RefCell;
use core::fmt;
use core::mem;

use aldis_mqtt::Instant;
use display_interface::{DataFormat, DisplayError, WriteOnlyDataCommand};
use embedded_hal_async::i2c::I2c;
use ssd1306::command::{AddrMode, Command, Page, VcomhLevel};

use super::Frame;

/// How bright the panel is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Light {
    /// To be read from across a room.
    #[default]
    Bright,
    /// To be read in passing, and for years: a twentieth of the current.
    Dim,
    /// Dark.
    Off,
}

impl Light {
    /// The contrast that the controller is told, of 256: the current of a lit point.
    pub const fn contrast(self) -> u8 {
        match self {
            Self::Bright => 0xA0,
            Self::Dim | Self::Off => 0x08,
        }
    }

    /// The second phase of the pre-charge period, in clocks. One makes it dimmer than
    /// the contrast alone can; more than two change nothing.
    const fn precharge(self) -> u8 {
        match self {
            Self::Bright => 2,
            Self::Dim | Self::Off => 1,
        }
    }
}

/// How the panel is mounted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Rotation {
    /// With its connector on top.
    #[default]
    Upright,
    /// Upside down.
    Half,
}

/// What a step did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Something was sent, and there may be more.
    Sent,
    /// Nothing is to be sent until the frame changes, or this moment comes.
    Idle(Instant),
}

/// The panel did not take what it was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unreachable;

impl fmt::Display for Unreachable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "the panel does not answer: look at its wires, and whether its address is 0x3c or 0x3d",
        )
    }
}

impl core::error::Error for Unreachable {}

impl From<DisplayError> for Unreachable {
    fn from(_: DisplayError) -> Self {
        Self
    }
}

/// What is known of the panel.
#[derive(Clone, Copy, Debug)]
enum Stage {
    /// Nothing.
    Unknown,
    /// Set up. What it shows may not be the picture yet; it is to be lit when it is.
    Drawing,
    /// Lit, and as bright as this.
    Lit(Light),
    /// Dark because it is to be dark.
    Off,
}

/// A panel with an SSD1306.
///
/// The order of things at the start is our own, with the commands of the crate
/// `ssd1306`: its drivers light the panel while its memory holds noise.
pub struct Panel<I2C> {
    i2c: I2C,
    address: u8,
    rotation: Rotation,
    stage: Stage,
    refresh_at: Instant,
}

impl<I2C> fmt::Debug for Panel<I2C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Panel")
            .field("rotation", &self.rotation)
            .field("stage", &self.stage)
            .field("refresh_at", &self.refresh_at)
            .finish_non_exhaustive()
    }
}

impl<I2C: I2c> Panel<I2C> {
    /// The address of most panels. Others have 0x3D.
    pub const ADDRESS: u8 = 0x3C;
    /// How long to wait after an error before the next step.
    pub const RETRY_MS: u32 = 1_000;
    /// After so long everything is sent anew, in case the panel was without power for a
    /// moment in which nothing was sent: it would stay dark.
    pub const REFRESH_MS: u32 = 5_000;

    /// A panel that nothing is known of.
    pub const fn new(i2c: I2C, address: u8, rotation: Rotation) -> Self {
        Self {
            i2c,
            address,
            rotation,
            stage: Stage::Unknown,
            refresh_at: Instant::NEVER,
        }
    }

    /// Does one thing that brings the panel nearer to the frame, and takes 5 ms of a bus
    /// with 400 kHz at most: sets it up, sends a part of the picture, changes its light.
    ///
    /// The frame is not borrowed while the bus is waited for, so others draw meanwhile;
    /// they must not hold it while they wait either. This may be dropped at any time, to
    /// bound how long a bus may hang: that is an error like others.
    ///
    /// # Errors
    /// If the panel did not take it. The next step begins anew; let
    /// [`RETRY_MS`](Self::RETRY_MS) go by first.
    pub async fn step(
        &mut self,
        frame: &RefCell<Frame>,
        now: Instant,
    ) -> Result<Step, Unreachable> {
        // What is not written back below, for whatever reason, is not known.
        let stage = mem::replace(&mut self.stage, Stage::Unknown);
        let light = frame.borrow().light();
        self.stage = match (stage, light) {
            (Stage::Unknown, _) => {
                self.rouse().await?;
                self.set_up(frame, now).await?;
                Stage::Drawing
            }
            (Stage::Off, Light::Off) => {
                self.stage = stage;
                return Ok(Step::Idle(Instant::NEVER));
            }
            // It may have been without power meanwhile.
            (Stage::Off, _) => {
                self.set_up(frame, now).await?;
                Stage::Drawing
            }
            (_, Light::Off) => {
                self.tell(&[Command::DisplayOn(false)]).await?;
                Stage::Off
            }
            (Stage::Lit(lit), _) if lit != light => {
                self.tell(&shine(light)).await?;
                Stage::Lit(light)
            }
            (Stage::Lit(_), _) if now >= self.refresh_at => {
                self.set_up(frame, now).await?;
                Stage::Drawing
            }
            (Stage::Drawing | Stage::Lit(_), _) => {
                if self.draw(frame).await? {
                    stage
                } else if let Stage::Lit(_) = stage {
                    self.stage = stage;
                    return Ok(Step::Idle(self.refresh_at));
                } else {
                    self.tell(&shine(light)).await?;
                    self.tell(&[Command::DisplayOn(true)]).await?;
                    Stage::Lit(light)
                }
            }
        };
        Ok(Step::Sent)
    }

    /// Ends a command that was cut off before its arguments, by whatever drove the panel
    /// before: none has more than six. Then darkens what that has left.
    async fn rouse(&mut self) -> Result<(), Unreachable> {
        self.tell(&[Command::Noop; 6]).await?;
        self.tell(&[Command::DisplayOn(false)]).await
    }

    /// All that a panel has to be told once. One that shows something goes on showing it.
    async fn set_up(&mut self, frame: &RefCell<Frame>, now: Instant) -> Result<(), Unreachable> {
        frame.borrow_mut().forget();
        self.refresh_at = now.after(Self::REFRESH_MS);
        let upright = self.rotation == Rotation::Upright;
        self.tell(&[
            Command::DisplayClockDiv(8, 0),
            Command::Multiplex(63),
            Command::DisplayOffset(0),
            Command::StartLine(0),
            Command::ChargePump(true),
            // Positions are single bytes in this mode: nothing can be cut in the middle.
            Command::AddressMode(AddrMode::Page),
            // Without a meaning in it, but panels differ in that.
            Command::ColumnAddress(0, 127),
            Command::PageAddress(Page::Page0, Page::Page7),
            Command::SegmentRemap(upright),
            Command::ReverseComDir(upright),
            Command::ComPinConfig(true, false),
            Command::VcomhDeselect(VcomhLevel::V077),
            Command::AllOn(false),
            Command::Invert(false),
            Command::EnableScroll(false),
        ])
        .await
    }

    /// Sends what differs next; false if nothing does.
    async fn draw(&mut self, frame: &RefCell<Frame>) -> Result<bool, Unreachable> {
        let Some(chunk) = frame.borrow().next() else {
            return Ok(false);
        };
        let place = [
            0xB0 | chunk.page(),
            chunk.column() & 0xF,
            0x10 | (chunk.column() >> 4),
        ];
        self.send(COMMANDS, &place).await?;
        for part in chunk.bytes().chunks(PART) {
            self.send(DATA, part).await?;
        }
        frame.borrow_mut().sent(&chunk);
        Ok(true)
    }

    /// Sends commands, one transfer each.
    ///
    /// Those of the crate would send themselves, but wait for the bus in as many places as
    /// there are commands: 3 KiB of code. Here they only write themselves.
    async fn tell(&mut self, commands: &[Command]) -> Result<(), Unreachable> {
        for command in commands {
            let mut bytes = Bytes::default();
            command.send(&mut bytes)?;
            self.send(COMMANDS, &bytes.0).await?;
        }
        Ok(())
    }

    /// Sends what this control byte says that it is, [`PART`] bytes at most.
    async fn send(&mut self, control: u8, bytes: &[u8]) -> Result<(), Unreachable> {
        let mut transfer = heapless::Vec::<u8, { PART + 1 }>::from([control]);
        transfer.extend_from_slice(bytes).map_err(|_| Unreachable)?;
        let written = self.i2c.write(self.address, &transfer).await;
        written.map_err(|_| Unreachable)
    }
}

/// Control bytes: what follows are commands, or columns of the picture.
const COMMANDS: u8 = 0x00;
const DATA: u8 = 0x40;
/// So many bytes are sent in one transfer.
const PART: usize = 16;

/// The commands for a light.
const fn shine(light: Light) -> [Command; 2] {
    [
        Command::PreChargePeriod(1, light.precharge()),
        Command::Contrast(light.contrast()),
    ]
}

/// The bytes of a command: seven at most.
#[derive(Default)]
struct Bytes(heapless::Vec<u8, 7>);

impl WriteOnlyDataCommand for Bytes {
    fn send_commands(&mut self, bytes: DataFormat<'_>) -> Result<(), DisplayError> {
        let DataFormat::U8(bytes) = bytes else {
            return Err(DisplayError::DataFormatNotImplemented);
        };
        self.0
            .extend_from_slice(bytes)
            .map_err(|_| DisplayError::OutOfBoundsError)
    }

    fn send_data(&mut self, _: DataFormat<'_>) -> Result<(), DisplayError> {
        Err(DisplayError::DataFormatNotImplemented)
    }
}
