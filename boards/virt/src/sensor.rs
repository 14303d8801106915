//! The climate sensor: a wire whose waveform is a recording of a real DHT22, or
//! what a fault makes of it.

use core::cell::Cell;

use aldis_device::dht::{Frame, Pulse, Wave};
use aldis_embassy::Sensor;
use aldis_protocol::Reading;
use embassy_time::Timer;

include!(concat!(env!("OUT_DIR"), "/recording.rs"));

/// How long a capture unit waits for an answer, in milliseconds.
const CAPTURE_MS: u64 = 20;

/// What is on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wire {
    /// A DHT22, as it was recorded.
    Recorded,
    /// One whose values change from measurement to measurement.
    Changing,
    /// Nothing: the line stays high.
    Absent,
    /// The line is connected to ground.
    Ground,
    /// The line is connected to the supply.
    Supply,
    /// Something that switches at random.
    Noisy,
    /// A sensor that answers too late.
    Slow,
    /// A sensor whose answers are damaged.
    Damaged,
    /// A sensor of which the wire breaks in the middle of each answer.
    Broken,
}

impl Wire {
    /// The wire of this name.
    pub fn named(name: &[u8]) -> Option<Self> {
        Some(match name {
            b"recorded" => Self::Recorded,
            b"changing" => Self::Changing,
            b"absent" => Self::Absent,
            b"ground" => Self::Ground,
            b"supply" => Self::Supply,
            b"noisy" => Self::Noisy,
            b"slow" => Self::Slow,
            b"damaged" => Self::Damaged,
            b"broken" => Self::Broken,
            _ => return None,
        })
    }
}

/// The sensor. Whoever has the wire as well can change what is on it.
#[derive(Debug)]
pub struct VirtSensor<'w> {
    wire: &'w Cell<Wire>,
    measured: u16,
    chance: u32,
}

impl<'w> VirtSensor<'w> {
    /// A sensor on this wire; `chance` makes its noise.
    pub const fn new(wire: &'w Cell<Wire>, chance: u32) -> Self {
        Self {
            wire,
            measured: 0,
            chance: chance | 1,
        }
    }

    /// The next of some numbers without order (xorshift).
    fn random(&mut self) -> u32 {
        let mut x = self.chance;
        x ^= x << 13;
        x ^= x >> 17;
        x ^= x << 5;
        self.chance = x;
        x
    }
}

/// Puts pulses where they are wanted, as many as there is room for.
fn put(places: &mut [Pulse], pulses: impl Iterator<Item = Pulse>) -> usize {
    places
        .iter_mut()
        .zip(pulses)
        .map(|(place, pulse)| *place = pulse)
        .count()
}

impl Sensor for VirtSensor<'_> {
    async fn measure(&mut self, pulses: &mut [Pulse]) -> usize {
        self.measured = self.measured.wrapping_add(1);
        let wire = self.wire.get();
        let frame = Frame::dht22(Reading {
            t: 200 + (self.measured % 100) as i16,
            h: 400 + self.measured % 200,
        });
        let answer_ms = match wire {
            Wire::Recorded | Wire::Changing | Wire::Damaged | Wire::Noisy => 5,
            _ => CAPTURE_MS,
        };
        Timer::after_millis(answer_ms).await;
        let nominal = Wave::new(frame).map(|part| part.nominal());
        match wire {
            Wire::Recorded => put(pulses, RECORDING.iter().copied()),
            Wire::Changing => put(pulses, nominal),
            // The capture unit saw no edge, or the end of the start pulse alone.
            Wire::Absent | Wire::Slow => put(pulses, [Pulse::high(300)].into_iter()),
            Wire::Ground | Wire::Supply => 0,
            Wire::Noisy => {
                let mut level = false;
                let noise = core::iter::from_fn(|| {
                    level = !level;
                    Some(Pulse {
                        level,
                        duration_us: 1 + self.random() % 150,
                    })
                });
                put(pulses, noise)
            }
            // Two bits turned over: the checksum does not fit.
            Wire::Damaged => put(
                pulses,
                nominal.enumerate().map(|(number, pulse)| match number {
                    40 | 60 => Pulse {
                        duration_us: 100 - pulse.duration_us,
                        ..pulse
                    },
                    _ => pulse,
                }),
            ),
            Wire::Broken => put(pulses, nominal.take(33)),
        }
    }
}
