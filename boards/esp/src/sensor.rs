//! The climate sensor on its wire, read by the remote control unit (RMT): hardware
//! takes the lengths of the line's levels, whatever interrupts do.

use core::pin::pin;

use aldis_device::dht::{Model, Pulse};
use embassy_time::{Duration, Timer, with_timeout};
use esp_hal::Async;
use esp_hal::gpio::interconnect::InputSignal;
use esp_hal::gpio::{AnyPin, DriveMode, Flex, InputSignal as Input, Level, OutputConfig, Pull};
use esp_hal::peripherals::RMT;
use esp_hal::rmt::{
    Channel, ConfigError, PulseCode, Rmt, Rx, RxChannelConfig, RxChannelCreator as _,
};
use esp_hal::time::Rate;

/// Two pulses are in each code.
const CODES: usize = 96;
/// As many codes are in the shortest answer.
const FRAME: usize = 40;
/// How long the line is pulled low to ask: a DHT22 wants 1 ms at least and 20 ms
/// at most, a DHT11 18 ms at least.
const SHORT: Duration = Duration::from_millis(2);
const LONG: Duration = Duration::from_millis(19);
/// How long an answer may take: a frame of 64 bits takes 10 ms.
const ANSWER: Duration = Duration::from_millis(20);
/// How long the unit may take to end after that.
const END: Duration = Duration::from_millis(3);
/// The edges that end it are so far apart.
const EDGE: Duration = Duration::from_micros(50);
/// A level held for so many microseconds ends the answer.
const IDLE_US: u16 = 300;

/// The sensor.
///
/// Where the model is to be found out, it is asked for both lengths in turn until
/// it answers.
pub struct Sensor {
    channel: Channel<'static, Async, Rx>,
    line: Flex<'static>,
    listen: InputSignal<'static>,
    model: Model,
    /// Ask for longer, as a DHT11 wants it.
    long: bool,
    codes: [PulseCode; CODES],
}

impl Sensor {
    /// A sensor of this model on this pin.
    pub fn new(rmt: RMT<'static>, pin: AnyPin<'static>, model: Model) -> Result<Self, ConfigError> {
        let mut line = Flex::new(pin);
        line.apply_output_config(
            &OutputConfig::default()
                .with_drive_mode(DriveMode::OpenDrain)
                .with_pull(Pull::Up),
        );
        line.set_high();
        line.set_output_enable(true);
        line.set_input_enable(true);
        let listen = line.peripheral_input();

        let rmt = Rmt::new(rmt, Rate::from_mhz(80))?;
        // Ticks of a microsecond, whatever the clock came to.
        let divider = u8::try_from(rmt.frequency().as_mhz())
            .ok()
            .filter(|divider| *divider > 0)
            .ok_or(ConfigError::UnreachableTargetFrequency)?;
        let rmt = rmt.into_async();
        // The first that can receive, with the memory of the one after it: an
        // answer of 64 bits has more codes than one has room for.
        #[cfg(feature = "esp32")]
        let creator = rmt.channel0;
        #[cfg(any(feature = "esp32c3", feature = "esp32c6"))]
        let creator = rmt.channel2;
        #[cfg(feature = "esp32s3")]
        let creator = rmt.channel4;
        let channel = creator
            .configure_rx(
                &RxChannelConfig::default()
                    .with_clk_divider(divider)
                    .with_idle_threshold(IDLE_US)
                    .with_memsize(2),
            )?
            .with_pin(listen.clone());
        Ok(Self {
            channel,
            line,
            listen,
            model,
            long: model == Model::Dht11,
            codes: [PulseCode::end_marker(); CODES],
        })
    }

    /// Releases the line and takes the answer: how many codes there are.
    async fn answer(&mut self) -> usize {
        let (channel, codes, line) = (&mut self.channel, &mut self.codes, &mut self.line);
        // It listens from when it is called, and must not take an interrupt that
        // comes before the release for an idle line.
        let mut answer = pin!(critical_section::with(|_| {
            let answer = channel.receive(codes);
            line.set_high();
            answer
        }));
        match with_timeout(ANSWER, answer.as_mut()).await {
            Ok(Ok(count)) => return count,
            Ok(Err(_)) => return 0,
            Err(_) => {}
        }
        // The line did not move. On the ESP32, dropping an answer that has not
        // ended loops until it has, so it gets edges and then a level that stays.
        for level in [Level::Low, Level::High, Level::Low, Level::High] {
            Input::RMT_SIG_0.connect_to(&level);
            Timer::after(EDGE).await;
        }
        if with_timeout(END, answer.as_mut()).await.is_err() {
            stop();
        }
        Input::RMT_SIG_0.connect_to(&self.listen);
        0
    }
}

/// The unit did not end by itself: it counts as stopped, so that nobody waits for it.
/// What it still takes spoils the next measurement at most.
fn stop() {
    #[cfg(feature = "esp32")]
    RMT::regs().chconf1(0).modify(|_, w| w.rx_en().clear_bit());
}

impl aldis_embassy::Sensor for Sensor {
    async fn measure(&mut self, pulses: &mut [Pulse]) -> usize {
        self.line.set_low();
        Timer::after(if self.long { LONG } else { SHORT }).await;
        self.codes.fill(PulseCode::end_marker());
        let count = self.answer().await;
        if self.model == Model::Auto && count < FRAME {
            self.long = !self.long;
        }
        let halves = self.codes.iter().take(count).flat_map(|code| {
            [
                (code.level1(), code.length1()),
                (code.level2(), code.length2()),
            ]
        });
        // A level without a length ends them.
        let taken = halves.take_while(|(_, length)| *length > 0);
        let mut given = 0;
        for (pulse, (level, length)) in pulses.iter_mut().zip(taken) {
            *pulse = Pulse {
                level: level == Level::High,
                duration_us: length.into(),
            };
            given += 1;
        }
        given
    }
}
