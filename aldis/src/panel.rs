//! The device's panel on a terminal.

use aldis_panel::{Picture, Ssd1306};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};

use crate::terminal::Looks;

/// How the panel is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// 128 columns and 32 lines.
    HalfBlocks,
    /// 64 columns and 16 lines.
    Braille,
}

impl Size {
    /// The largest for which there is room.
    pub fn within(width: usize, height: usize, looks: Looks) -> Option<Self> {
        [Self::HalfBlocks, Self::Braille]
            .into_iter()
            .filter(|_| looks.unicode)
            .find(|size| size.columns() <= width && size.lines() <= height)
    }

    pub fn columns(self) -> usize {
        usize::from(match self {
            Self::HalfBlocks => Picture::HALF_BLOCK_COLUMNS,
            Self::Braille => Picture::BRAILLE_COLUMNS,
        })
    }

    pub fn lines(self) -> usize {
        usize::from(match self {
            Self::HalfBlocks => Picture::HALF_BLOCK_ROWS,
            Self::Braille => Picture::BRAILLE_ROWS,
        })
    }
}

/// What a person sees of a panel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sight {
    pub picture: Picture,
    /// To save it for years, it is not as bright as it can be.
    pub dim: bool,
}

impl Sight {
    /// Of a panel that hangs like this.
    pub fn of(panel: &Ssd1306, rotated: bool) -> Self {
        /// Below this a person takes it for dim.
        const DIM: u8 = 64;
        let picture = panel.picture();
        Self {
            picture: match rotated {
                true => picture.rotated_180(),
                false => picture,
            },
            dim: panel.contrast() < DIM,
        }
    }

    /// As the lines of a terminal.
    pub fn drawn(&self, size: Size, looks: Looks) -> Vec<Line<'static>> {
        let lines = match size {
            Size::HalfBlocks => self.picture.half_blocks(),
            Size::Braille => self.picture.brailles(),
        };
        let ink = match looks.colour {
            true => Style::new().fg(Color::White).bg(Color::Black),
            false => Style::new(),
        };
        let ink = match self.dim {
            true => ink.add_modifier(Modifier::DIM),
            false => ink,
        };
        lines
            .into_iter()
            .map(|line| Line::from(Span::styled(line, ink)))
            .collect()
    }
}
