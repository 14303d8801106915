//! A QR code in the terminal.

use std::env;
use std::io::{self, IsTerminal};

use qrcode::render::unicode::Dense1x2;
use qrcode::{EcLevel, QrCode};

/// The picture of a text, two points a character.
pub fn picture(text: &str) -> Result<String, String> {
    let coloured = io::stdout().is_terminal() && env::var_os("NO_COLOR").is_none();
    draw(text, coloured)
}

fn draw(text: &str, coloured: bool) -> Result<String, String> {
    let code = QrCode::with_error_correction_level(text, EcLevel::L)
        .map_err(|error| format!("cannot draw the QR code: {error}"))?;
    // Without colours, letters are taken to be light and what is behind them dark.
    let (dark, light) = match coloured {
        true => (Dense1x2::Dark, Dense1x2::Light),
        false => (Dense1x2::Light, Dense1x2::Dark),
    };
    let picture = code
        .render::<Dense1x2>()
        .dark_color(dark)
        .light_color(light)
        .build();
    Ok(match coloured {
        // Black on white, whatever the terminal's own colours are.
        true => picture
            .lines()
            .map(|line| format!("\x1b[38;5;16;48;5;231m{line}\x1b[0m\n"))
            .collect(),
        false => picture + "\n",
    })
}

#[cfg(test)]
mod tests {
    use super::draw;

    /// A picture whose frame is missing, or black where it should be white, is not read.
    #[test]
    fn a_code_has_its_white_frame() {
        let plain = draw("mqtt", false).unwrap();
        let rows: Vec<Vec<char>> = plain.lines().map(|line| line.chars().collect()).collect();
        // 21 points and four on each side, in pairs.
        assert_eq!((rows.len(), rows[0].len()), (15, 29));
        assert!(rows[0].iter().all(|point| *point == '█'), "{plain}");
        assert!(
            rows.iter().all(|row| row[0] == '█' || row[0] == '▀'),
            "{plain}"
        );
        let coloured = draw("mqtt", true).unwrap();
        assert!(coloured.lines().all(|line| line.ends_with("\x1b[0m")));
    }
}
