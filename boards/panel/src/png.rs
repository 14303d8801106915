//! Pictures as PNG, written and read back.

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Seek, Write};
use std::path::Path;
use std::string::String;
use std::vec::Vec;
use std::{format, vec};

use png::{BitDepth, ColorType, Compression, Decoder, Encoder, Transformations};

use crate::{HEIGHT, Picture, WIDTH};

/// The largest scale: more is a mistake.
pub const MAX_SCALE: u32 = 16;

/// Pixels of the panel that a frame keeps dark around the picture.
const MARGIN: u32 = 2;

/// How a picture is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Style {
    /// How many pixels of the file are one of the panel, each way.
    pub scale: u32,
    /// Whether there is a dark margin and a thin bright line around it.
    pub frame: bool,
}

impl Style {
    /// A pixel for a pixel.
    pub const PLAIN: Self = Self {
        scale: 1,
        frame: false,
    };
    /// Four times as large and framed, as documentation shows it.
    pub const FRAMED: Self = Self {
        scale: 4,
        frame: true,
    };

    /// From the edge of the file to the panel.
    fn inset(self) -> u32 {
        if self.frame {
            self.scale.saturating_mul(MARGIN).saturating_add(1)
        } else {
            0
        }
    }

    /// Width and height of the file.
    #[must_use]
    pub fn size(self) -> (u32, u32) {
        let side = |panel: u8| {
            self.scale
                .saturating_mul(panel.into())
                .saturating_add(self.inset().saturating_mul(2))
        };
        (side(WIDTH), side(HEIGHT))
    }

    /// The style of a file of this size, if it is of any.
    fn of(size: (u32, u32)) -> Option<Self> {
        (1..=MAX_SCALE)
            .flat_map(|scale| [false, true].map(|frame| Self { scale, frame }))
            .find(|style| style.size() == size)
    }

    /// Whether the pixel of the file is white.
    fn pixel(self, picture: &Picture, x: u32, y: u32) -> bool {
        let (width, height) = self.size();
        if self.frame
            && (x == 0 || y == 0 || x.saturating_add(1) == width || y.saturating_add(1) == height)
        {
            return true;
        }
        let panel = |at: u32| {
            at.checked_sub(self.inset())
                .and_then(|at| at.checked_div(self.scale))
                .and_then(|at| u8::try_from(at).ok())
        };
        match (panel(x), panel(y)) {
            (Some(x), Some(y)) => picture.get(x, y),
            _ => false,
        }
    }
}

impl Default for Style {
    fn default() -> Self {
        Self::FRAMED
    }
}

/// Writes a picture in black and white, one bit a pixel.
///
/// # Errors
/// A scale of 0 or beyond [`MAX_SCALE`], and what `to` says.
pub fn encode(picture: &Picture, style: Style, to: impl Write) -> io::Result<()> {
    if style.scale == 0 || style.scale > MAX_SCALE {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("the scale is 1 to {MAX_SCALE}, not {}", style.scale),
        ));
    }
    let (width, height) = style.size();
    let mut bits = Vec::new();
    for y in 0..height {
        let mut byte = 0_u8;
        for x in 0..width {
            let shift = 7_u32.saturating_sub(x % 8);
            byte |= u8::from(style.pixel(picture, x, y)).wrapping_shl(shift);
            if shift == 0 || x.saturating_add(1) == width {
                bits.push(core::mem::take(&mut byte));
            }
        }
    }
    let mut encoder = Encoder::new(to, width, height);
    encoder.set_color(ColorType::Grayscale);
    encoder.set_depth(BitDepth::One);
    encoder.set_compression(Compression::High);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(&bits)?;
    writer.finish()?;
    Ok(())
}

/// Writes a picture into a file.
///
/// # Errors
/// As [`encode`]; and the file cannot be made.
pub fn write(picture: &Picture, style: Style, path: impl AsRef<Path>) -> io::Result<()> {
    let mut file = BufWriter::new(File::create(path)?);
    encode(picture, style, &mut file)?;
    file.flush()
}

/// Reads a picture in whichever style it was written. Other black and white pictures
/// of that size are read as well, whatever their kind of PNG.
///
/// # Errors
/// It is no PNG, has another size, colours between black and white, or detail finer
/// than a pixel of the panel.
pub fn decode(from: impl BufRead + Seek) -> io::Result<(Picture, Style)> {
    let invalid = |why: String| io::Error::new(io::ErrorKind::InvalidData, why);
    let mut decoder = Decoder::new(from);
    decoder.set_transformations(Transformations::normalize_to_color8());
    let mut reader = decoder.read_info()?;
    let size = reader.info().size();
    let style = Style::of(size).ok_or_else(|| {
        invalid(format!(
            "a picture of {} x {} pixels is none of the panel",
            size.0, size.1
        ))
    })?;
    let length = reader
        .output_buffer_size()
        .ok_or_else(|| invalid("the picture is too large".into()))?;
    let mut pixels = vec![0; length];
    let frame = reader.next_frame(&mut pixels)?;
    let samples = frame.color_type.samples();
    // Alpha says nothing about the light.
    let colours = match frame.color_type {
        ColorType::GrayscaleAlpha | ColorType::Rgba => samples.saturating_sub(1),
        _ => samples,
    };
    let white = |x: u32, y: u32| {
        let at = (y as usize)
            .saturating_mul(frame.line_size)
            .saturating_add((x as usize).saturating_mul(samples));
        match pixels.get(at..at.saturating_add(colours)) {
            Some(pixel) if pixel.iter().all(|level| *level == 0xFF) => Ok(true),
            Some(pixel) if pixel.iter().all(|level| *level == 0) => Ok(false),
            _ => Err(invalid(format!(
                "the pixel {x}, {y} is neither black nor white"
            ))),
        }
    };
    let mut failed = None;
    let picture = Picture::from_fn(|x, y| {
        let at = |panel: u8| {
            style
                .scale
                .saturating_mul(panel.into())
                .saturating_add(style.inset())
        };
        white(at(x), at(y)).unwrap_or_else(|error| {
            failed.get_or_insert(error);
            false
        })
    });
    if let Some(error) = failed {
        return Err(error);
    }
    for y in 0..size.1 {
        for x in 0..size.0 {
            if white(x, y)? != style.pixel(&picture, x, y) {
                return Err(invalid(format!(
                    "the pixel {x}, {y} does not fit into a picture of the panel"
                )));
            }
        }
    }
    Ok((picture, style))
}

/// Reads a picture from a file.
///
/// # Errors
/// As [`decode`]; and the file cannot be read.
pub fn read(path: impl AsRef<Path>) -> io::Result<(Picture, Style)> {
    decode(BufReader::new(File::open(path)?))
}
