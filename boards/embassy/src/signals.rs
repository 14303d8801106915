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

/// One beat: a flash or a pause of the pattern.
const BEAT: Duration = Duration::from_millis(125);

/// Without a configuration there is no network to join: says so, each second on
/// the console and all the time with the lamp, until somebody writes one and
/// restarts the board.
pub async fn without_config(hardware: &mut impl Hardware, error: Error) -> ! {
    // A flash and a pause for each, then a pause of eight beats.
    let pattern = flashes(error).saturating_mul(2);
    let mut beat: u32 = 0;
    let mut until_line: u32 = 0;
    loop {
        let lit = beat < pattern && beat.is_multiple_of(2);
        hardware.light(if lit { Lamp::On } else { Lamp::Off });
        if until_line == 0 {
            hardware.print(Level::Error, format_args!("{}", Line::Config(error)));
            until_line = 8;
        }
        hardware.feed();
        Timer::after(BEAT).await;
        until_line = until_line.saturating_sub(1);
        beat = match beat >= pattern.saturating_add(8) {
            true => 0,
            false => beat.saturating_add(1),
        };
    }
}
