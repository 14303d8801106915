//! What the lamp says when nothing else can.

use aldis_flash::config::{Error, Level};
use aldis_protocol::Lamp;
use embassy_time::{Duration, Timer};

use crate::Hardware;
use crate::console::Line;

/// How often the lamp flashes before it pauses, for each reason why the
/// configuration cannot be used.
pub const fn flashes(error: Error) -> u32 {
    match error {
        Error::Missing => 2,
        Error::Damaged => 3,
        Error::Newer => 4,
        Error::Entry(_) => 5,
        Error::Flash => 6,
    }
}

/// How many beats the lamp pauses.
const PAUSE: u32 = 8;

/// Whether the lamp is lit in a beat since the start: a flash and a pause for each,
/// then a longer pause, and again.
const fn is_lit(flashes: u32, beat: u32) -> bool {
    let pattern = flashes.saturating_mul(2);
    let beat = match beat.checked_rem(pattern.saturating_add(PAUSE)) {
        Some(beat) => beat,
        None => 0,
    };
    beat < pattern && beat.is_multiple_of(2)
}

/// One beat: a flash or a pause of the pattern.
const BEAT: Duration = Duration::from_millis(125);

/// Without a configuration there is no network to join: says so, each second on
/// the console and all the time with the lamp, until somebody writes one and
/// restarts the board.
pub async fn without_config(hardware: &mut impl Hardware, error: Error) -> ! {
    let mut beat: u32 = 0;
    loop {
        let lit = is_lit(flashes(error), beat);
        hardware.light(if lit { Lamp::On } else { Lamp::Off });
        if beat.is_multiple_of(8) {
            hardware.print(Level::Error, format_args!("{}", Line::Config(error)));
        }
        hardware.feed();
        Timer::after(BEAT).await;
        beat = beat.wrapping_add(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The owner counts, and reads what it means.
    #[test]
    fn the_lamp_flashes_as_the_manual_says() {
        for (error, pattern) in [
            (Error::Missing, "#.#........."),
            (Error::Damaged, "#.#.#........."),
            (Error::Newer, "#.#.#.#........."),
            (Error::Entry("pins.led"), "#.#.#.#.#........."),
            (Error::Flash, "#.#.#.#.#.#........."),
        ] {
            let lit = |beat| match is_lit(flashes(error), beat) {
                true => '#',
                false => '.',
            };
            let len = pattern.len() as u32;
            assert_eq!((0..len).map(lit).collect::<String>(), pattern);
            assert_eq!((len..2 * len).map(lit).collect::<String>(), pattern);
        }
    }
}
