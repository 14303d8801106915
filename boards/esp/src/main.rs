//! The device as firmware for Espressif's chips with Wi-Fi.
#![no_std]
#![no_main]
#![deny(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic
)]

mod board;
mod brownout;
mod button;
mod console;
mod display;
mod flash;
mod lamp;
mod memory;
mod pins;
mod radio;
mod reset;
mod seed;
mod sensor;
mod watchdog;

use aldis_device::dht::{Model, Pulse};
use aldis_embassy::radio::State;
use aldis_embassy::witness::Witness;
use aldis_embassy::{
    CONFIG_LEN, Hardware as _, Memory, Parts, SOCKETS, Start, dhcp, read_config, run,
    without_config,
};
use aldis_flash::chip::Role;
use aldis_flash::config::{self, Config, Wifi};
use aldis_flash::{Store, layout};
use embassy_executor::Spawner;
use embassy_net::{Runner, StackResources};
use esp_hal::clock::CpuClock;
use esp_hal::peripherals::{RMT, WIFI};
use esp_hal::timer::timg::TimerGroup;
use esp_radio::wifi::Interface;
use static_cell::{ConstStaticCell, StaticCell};

use board::Board;
use button::Button;
use display::Display;
use pins::CHIP;
use sensor::Sensor;
use watchdog::Watchdog;

/// How many chips were named.
const CHIPS: usize = cfg!(feature = "esp32") as usize
    + cfg!(feature = "esp32c3") as usize
    + cfg!(feature = "esp32c6") as usize
    + cfg!(feature = "esp32s3") as usize;
const _: () = assert!(
    CHIPS == 1,
    "name exactly one chip: --features esp32, esp32c3, esp32c6 or esp32s3"
);

/// What `.cargo/config.toml` says holds for builds in this folder only.
const _: () = assert!(
    option_env!("ESP_HAL_CONFIG_MIN_CHIP_REVISION").is_some(),
    "build in the folder boards/esp: what the chips need is in its .cargo/config.toml"
);

esp_bootloader_esp_idf::esp_app_desc!();

/// The version of the firmware.
const VERSION: &str = env!("CARGO_PKG_VERSION");

static RADIO: State = State::new();

#[esp_rtos::main]
async fn main(spawner: Spawner) {
    static CONFIG: ConstStaticCell<[u8; CONFIG_LEN]> = ConstStaticCell::new([0; CONFIG_LEN]);
    static MEMORY: ConstStaticCell<Memory> = ConstStaticCell::new(Memory::new());
    static SESSION: ConstStaticCell<aldis_device::Memory> =
        ConstStaticCell::new(aldis_device::Memory::new());
    static ID: ConstStaticCell<[u8; seed::ID_LEN]> = ConstStaticCell::new([0; seed::ID_LEN]);

    let peripherals = esp_hal::init(esp_hal::Config::default().with_cpu_clock(CpuClock::max()));
    let watchdog = Watchdog::start(peripherals.RTC_TIMER);
    brownout::watch();
    let reason = reset::report();

    let mut flash = flash::Flash::new(peripherals.FLASH);
    let config = read_config(&mut flash, &layout::CONFIG, CONFIG.take());
    if let Ok(config) = &config {
        console::set_level(config.level);
    }
    let chosen = config.as_ref().map(|config| config.pins);
    let pins = chosen.unwrap_or_default().or(CHIP.pins());
    if CHIP.silences_console(pins.led) {
        console::warn(format_args!(
            "console: silent from here, its pin is the lamp's"
        ));
        console::set_level(config::Level::Off);
    }
    // The lamp before all else: what is slow comes later.
    let mut store = Store::new(flash, layout::STORE.range()).ok();
    let lit = store.as_mut().map(Store::lamp);
    let lamp = pins::take(Role::Led, pins.led)
        .map(|pin| lamp::Lamp::new(pin, lit.unwrap_or(aldis_protocol::Lamp::Off)));
    let lamp = tell("lamp", pins.led, lamp);

    memory::start();
    let timers = TimerGroup::new(peripherals.TIMG0);
    esp_rtos::start(timers.timer0, peripherals.FROM_CPU_INTR0);

    let mut board = Board::new(lamp, watchdog, &RADIO, reason);
    let config = config.and_then(|config| Ok((network_of(&config)?, config)));
    let (network, config): (_, Config<'static>) = match config {
        Ok(found) => found,
        Err(error) => without_config(&mut board, error).await,
    };
    // What a flash of another firmware holds takes seconds to look through.
    let saved = store.as_mut().map(Store::saved).unwrap_or_default();
    board.feed();

    let mut sensor = Wired {
        parts: Some((peripherals.RMT, pins.dht22, config.model)),
        sensor: None,
    };

    let seed = seed::begin();
    let id: &str = seed::id(ID.take());
    let card = Witness::new(Interface::station(), &RADIO.seen);
    static RESOURCES: StaticCell<StackResources<SOCKETS>> = StaticCell::new();
    let (stack, runner) = embassy_net::new(
        card,
        dhcp(config.id.unwrap_or(id)),
        RESOURCES.init(StackResources::new()),
        seed,
    );
    let (Ok(net), Ok(wifi)) = (run_network(runner), run_radio(peripherals.WIFI, network)) else {
        reset::order(format_args!("tasks"));
    };
    spawner.spawn(net);
    spawner.spawn(wifi);

    let start = Start {
        config: &config,
        id,
        version: VERSION,
        saved,
        // The radio makes the numbers random, and it is on soon.
        seed: seed::stir(seed),
    };
    let parts = Parts {
        hardware: &mut board,
        sensor: &mut sensor,
        display: Some(Display::new(peripherals.I2C0, pins.scl, pins.sda)),
        button: Button::new(pins.button),
        store: store.as_mut(),
        stack,
        seen: &RADIO.seen,
        memory: MEMORY.take(),
        session: SESSION.take(),
    };
    let error = run(&start, parts).await;
    without_config(&mut board, error).await
}

/// A network and its name.
type Named = (radio::Network, &'static str);

/// The wireless network of the configuration.
fn network_of(config: &Config<'static>) -> Result<Named, config::Error> {
    let Wifi {
        ssid,
        password,
        country,
    } = config.wifi.ok_or(config::Error::Entry("wifi.ssid"))?;
    let password = password.map(str::as_bytes);
    let network = radio::Network::new(ssid.as_bytes(), password, country)
        .map_err(|_| config::Error::Entry("wifi"))?;
    Ok((network, ssid))
}

/// What is on a pin, or nothing and a line about it: contact matters more.
pub(crate) fn tell<T>(what: &str, pin: u8, found: Result<T, pins::Unusable>) -> Option<T> {
    if let Err(why) = &found {
        console::error(format_args!("{what}: GPIO{pin}: {why}"));
    }
    found.ok()
}

/// The sensor, which is started when it is asked for the first time: in the safe mode
/// it never is.
struct Wired {
    /// What it is started with.
    parts: Option<(RMT<'static>, u8, Model)>,
    /// None, if its pin or its unit cannot be used.
    sensor: Option<Sensor>,
}

impl aldis_embassy::Sensor for Wired {
    async fn measure(&mut self, pulses: &mut [Pulse]) -> usize {
        if let Some((rmt, pin, model)) = self.parts.take() {
            let sensor = pins::take(Role::Dht22, pin)
                .and_then(|at| Sensor::new(rmt, at, model).map_err(|_| pins::Unusable::Driver));
            self.sensor = tell("sensor", pin, sensor);
        }
        match &mut self.sensor {
            Some(sensor) => sensor.measure(pulses).await,
            None => 0,
        }
    }
}

/// Runs the network stack.
#[embassy_executor::task]
async fn run_network(mut runner: Runner<'static, Witness<'static, Interface>>) -> ! {
    runner.run().await
}

/// Runs the radio.
#[embassy_executor::task]
async fn run_radio(wifi: WIFI<'static>, named: Named) -> ! {
    let (network, ssid) = named;
    let mut driver = radio::EspDriver::new(wifi, network);
    aldis_embassy::radio::run(&mut driver, ssid, &RADIO, &radio::Chip).await
}
