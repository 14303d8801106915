//! The device's panel on the terminal, and below it what the device reports.

use std::collections::VecDeque;

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::{Modifier, Style};
use ratatui::text::{Line, Span};

use crate::fingers::Gesture;
use crate::panel::{Sight, Size};
use crate::printable::printable;
use crate::terminal::{Looks, Wish, button};

/// Lines that are remembered; more than any terminal is high.
const LINES: usize = 256;

/// What is shown.
#[derive(Clone, Debug, Default)]
pub struct Model {
    pub sight: Sight,
    /// What the device reported, oldest first.
    pub lines: VecDeque<String>,
    /// The button is a Morse key.
    pub morse: bool,
}

impl Model {
    pub fn line(&mut self, line: &str) {
        if self.lines.len() == LINES {
            self.lines.pop_front();
        }
        self.lines.push_back(printable(line));
    }
}

/// What stands for the button where it is a Morse key.
pub fn morse_key(key: char) -> Option<Wish> {
    Some(Wish::Button(match key {
        '.' => Gesture::Dot,
        '-' => Gesture::Dash,
        ' ' => Gesture::Letter,
        '/' => Gesture::Word,
        _ => return button(key).filter(|wish| *wish == Wish::Button(Gesture::Short)),
    }))
}

/// Draws the panel as large as it can be, what was reported below, and last the keys.
pub fn draw(frame: &mut Frame<'_>, model: &Model, looks: Looks) {
    let area = frame.area();
    let (width, height) = (usize::from(area.width), usize::from(area.height));
    let mut lines = match Size::within(width, height, looks) {
        Some(size) => model.sight.drawn(size, looks),
        None => vec![Line::from(match looks.unicode {
            true => "the panel needs 64x16: make the window larger",
            false => "the panel needs Unicode: LANG=C.UTF-8",
        })],
    };
    let below = height.saturating_sub(lines.len());
    let room = below.saturating_sub(1);
    let skipped = model.lines.len().saturating_sub(room);
    let reported = model.lines.iter().skip(skipped);
    lines.extend(reported.map(|line| Line::from(line.as_str())));
    lines.resize(height.saturating_sub(1).max(lines.len()), Line::default());
    if below > 0 {
        lines.push(keys(model.morse));
    }
    for (line, y) in lines.into_iter().zip(area.y..area.bottom()) {
        frame.render_widget(line, Rect::new(area.x, y, area.width, 1));
    }
}

fn keys(morse: bool) -> Line<'static> {
    let keys: &[_] = match morse {
        true => &[
            (".", "dot"),
            ("-", "dash"),
            ("space", "letter"),
            ("/", "word"),
            ("q", "end"),
        ],
        false => &[
            ("b", "read, next"),
            ("r", "reply, send"),
            ("p", "presets"),
            ("q", "end"),
        ],
    };
    let bold = Style::new().add_modifier(Modifier::BOLD);
    let spans = keys.iter().flat_map(|(key, what)| {
        [
            Span::raw(" "),
            Span::styled(*key, bold),
            Span::raw(format!(" {what} ")),
        ]
    });
    spans.collect::<Vec<_>>().into()
}

#[cfg(test)]
mod tests {
    use aldis_panel::Picture;
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    use super::*;

    const UNICODE: Looks = Looks {
        colour: true,
        unicode: true,
    };

    fn shown(model: &Model, width: u16, height: u16, looks: Looks) -> String {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| draw(frame, model, looks)).unwrap();
        let buffer = terminal.backend().buffer();
        let rows = buffer.content().chunks(usize::from(width.max(1)));
        rows.map(|row| {
            let row: String = row.iter().map(|cell| cell.symbol()).collect();
            row.trim_end().to_owned() + "\n"
        })
        .collect()
    }

    fn model() -> Model {
        let mut model = Model {
            sight: Sight {
                picture: Picture::from_fn(|x, y| x == y),
                dim: true,
            },
            ..Model::default()
        };
        for line in ["device: dev, start 1", "mqtt: connected", "\x1b[2Jevil"] {
            model.line(line);
        }
        model
    }

    /// The panel is cut off, or pushes what can be done off the terminal.
    #[test]
    fn the_panel_is_as_large_as_it_can_be() {
        let model = model();
        let picture = &model.sight.picture;
        let large = shown(&model, 130, 40, UNICODE);
        for line in picture.half_blocks() {
            assert!(large.contains(line.trim_end()), "{large}");
        }
        let small = shown(&model, 80, 24, UNICODE);
        for line in picture.brailles() {
            assert!(small.contains(&line), "{small}");
        }
        for shown in [large, small] {
            assert!(shown.contains("mqtt: connected"), "{shown}");
            assert!(shown.lines().last().unwrap().contains("q end"), "{shown}");
            assert!(!shown.contains('\x1b'));
        }
        let exactly = shown(&model, 64, 16, UNICODE);
        assert!(exactly.contains(&picture.brailles()[15]), "{exactly}");
        assert!(shown(&model, 63, 24, UNICODE).contains("make the window larger"));
        let ascii = Looks {
            unicode: false,
            ..UNICODE
        };
        let without = shown(&model, 130, 40, ascii);
        assert!(without.contains("needs Unicode"), "{without}");
    }

    /// A size in which drawing fails: the terminal would be left behind in a panic.
    #[test]
    fn every_size_can_be_drawn() {
        let mut full = model();
        for _ in 0..300 {
            full.line(&"much to say ".repeat(40));
        }
        for model in [Model::default(), full] {
            for width in (0..=2).chain([63, 64, 127, 128, 200]) {
                for height in (0..=2).chain([15, 16, 17, 31, 32, 33, 60]) {
                    let _ = shown(&model, width, height, UNICODE);
                }
            }
        }
    }

    /// With the key of a Morse operator, another gesture would be sent as a mark.
    #[test]
    fn a_morse_key_has_keys_of_its_own() {
        assert_eq!(morse_key('.'), Some(Wish::Button(Gesture::Dot)));
        assert_eq!(morse_key('-'), Some(Wish::Button(Gesture::Dash)));
        assert_eq!(morse_key('b'), Some(Wish::Button(Gesture::Short)));
        assert_eq!(morse_key('r'), None);
        assert_eq!(morse_key('p'), None);
    }
}
