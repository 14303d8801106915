//! What the sensor says, to be read from across a room.

use aldis_protocol::{SensorState, Tenths};

use super::super::canvas::Canvas;
use super::super::text::{self, Font};
use super::super::view::Readings;
use super::words::Words;

/// Base lines of temperature and humidity, and the columns in which their digits end.
const TEMPERATURE: usize = 37;
const HUMIDITY: usize = 61;
const RIGHT: usize = 86;

pub fn draw(canvas: &mut Canvas<'_>, readings: &Readings) {
    let good = readings
        .reading
        .filter(|_| readings.sensor == Some(SensorState::Ok));
    let (temperature, humidity) = match good {
        Some(reading) => (number(reading.temperature()), number(reading.humidity())),
        None => {
            let none = Words::of(format_args!("--.-"));
            (none, none)
        }
    };
    value(canvas, TEMPERATURE, Font::Large, 24, temperature, "°C");
    if good.is_some() {
        value(canvas, HUMIDITY, Font::Digits, 19, humidity, "%");
    } else {
        let words = match readings.sensor {
            Some(SensorState::Stale) => "No good reading",
            Some(SensorState::Missing) => "No sensor",
            Some(SensorState::Ok) | None => "Sensor starts",
        };
        canvas.text_centred(56, Font::Small, words);
    }
}

fn number(tenths: Tenths) -> Words {
    Words::of(format_args!("{tenths}"))
}

/// A number that ends in the same column whatever it is, and its unit on top of it.
fn value(
    canvas: &mut Canvas<'_>,
    baseline: usize,
    font: Font,
    height: usize,
    number: Words,
    unit: &str,
) {
    let left = RIGHT.saturating_sub(text::width(font, number.as_str()));
    canvas.text((left, baseline), font, number.as_str());
    let top = baseline.saturating_sub(height);
    canvas.text(
        (RIGHT.saturating_add(3), top.saturating_add(8)),
        Font::Small,
        unit,
    );
}
