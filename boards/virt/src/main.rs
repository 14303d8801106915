//! The device on the `virt` machine.
//!
//! What a person would do to a real board is done by lines on the UART: `sensor
//! absent`, `restart`, `panic`, `hang`, `off`, `memory`; `button down` and `button up`
//! (or `button 200`, for so many milliseconds); `screen` for what the display shows,
//! and `panel absent`, `panel held` and `panel back` for what becomes of it.
#![no_std]
#![no_main]

use core::cell::{Cell, RefCell};
use core::fmt;

use aldis_device::{Order, Radio, Vitals};
use aldis_embassy::witness::{Seen, Witness};
use aldis_embassy::{
    Button, CONFIG_LEN, Hardware, Memory, Parts, SOCKETS, Start, dhcp, read_config, run,
    without_config,
};
use aldis_flash::config::{Config, Level};
use aldis_flash::{Store, layout};
use aldis_panel::{Ssd1306, Wired};
use aldis_protocol::{Lamp, ResetReason};
use aldis_virt::flash::Flash;
use aldis_virt::net::Net;
use aldis_virt::sensor::{VirtSensor, Wire};
use aldis_virt::uart::Lines;
use aldis_virt::{clock, console, reset, rng, stack};
use embassy_executor::{Executor, Spawner};
use embassy_net::{Runner, StackResources};
use embassy_sync::blocking_mutex::raw::NoopRawMutex;
use embassy_sync::channel::Channel;
use embassy_time::{Duration, Timer, block_for};
use static_cell::{ConstStaticCell, StaticCell};

/// The firmware's version.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// How long the device may make no progress.
const WATCHDOG: Duration = Duration::from_secs(20);

#[riscv_rt::entry]
fn main() -> ! {
    static EXECUTOR: StaticCell<Executor> = StaticCell::new();
    aldis_virt::start();
    let reason = reset::reason();
    report_memory();
    EXECUTOR
        .init(Executor::new())
        .run(|spawner| match device(spawner, reason) {
            Ok(token) => spawner.spawn(token),
            Err(error) => console!("boot: {error:?}"),
        })
}

/// Everything but sensor, flash and network card.
struct Board {
    reset: ResetReason,
    level: Level,
    seen: &'static Seen,
    turns: u32,
}

impl Hardware for Board {
    /// Nothing lights up; the console tells it.
    fn light(&mut self, _: Lamp) {}

    fn vitals(&mut self) -> Vitals {
        Vitals {
            reset: Some(self.reset),
            free: u32::try_from(stack::free()).ok(),
            free_min: u32::try_from(stack::free_min()).ok(),
            ..Vitals::default()
        }
    }

    fn feed(&mut self) {
        clock::watchdog(Some(WATCHDOG));
    }

    fn radio(&mut self) -> Radio {
        // A cable has no task of its own.
        self.turns = self.turns.wrapping_add(1);
        Radio {
            joined: true,
            turns: self.turns,
            ..self.seen.look()
        }
    }

    fn order(&mut self, order: Order) {
        // A cable has nothing to join or to start again.
        if order == Order::Reset {
            reset::restart(ResetReason::Software);
        }
    }

    fn restart(&mut self) {
        reset::restart(ResetReason::Software)
    }

    fn print(&mut self, level: Level, line: fmt::Arguments<'_>) {
        if level <= self.level {
            console!("{line}");
        }
    }
}

#[embassy_executor::task]
async fn device(spawner: Spawner, reset: ResetReason) {
    static SEEN: Seen = Seen::new();
    static CONFIG: ConstStaticCell<[u8; CONFIG_LEN]> = ConstStaticCell::new([0; CONFIG_LEN]);
    static MEMORY: ConstStaticCell<Memory> = ConstStaticCell::new(Memory::new());
    static SESSION: ConstStaticCell<aldis_device::Memory> =
        ConstStaticCell::new(aldis_device::Memory::new());
    static RESOURCES: StaticCell<StackResources<SOCKETS>> = StaticCell::new();
    static WIRE: ConstStaticCell<Cell<Wire>> = ConstStaticCell::new(Cell::new(Wire::Recorded));

    let mut board = Board {
        reset,
        level: Level::Info,
        seen: &SEEN,
        turns: 0,
    };
    board.feed();
    static PANEL: StaticCell<RefCell<Ssd1306>> = StaticCell::new();
    static CONTACT: StaticCell<Contact> = StaticCell::new();
    let wire: &Cell<Wire> = WIRE.take();
    let panel: &RefCell<Ssd1306> = PANEL.init_with(|| RefCell::new(Ssd1306::new()));
    let contact: &Contact = CONTACT.init_with(Contact::new);
    if let Ok(token) = person(wire, panel, contact) {
        spawner.spawn(token);
    }
    let mut flash = Flash::new();
    let config = match &mut flash {
        Ok(flash) => read_config(flash, &layout::virt::CONFIG, CONFIG.take()),
        Err(error) => {
            console!("flash: {error:?}");
            Err(aldis_flash::config::Error::Flash)
        }
    };
    let config: Config<'static> = match config {
        Ok(config) => config,
        Err(error) => without_config(&mut board, error).await,
    };
    board.level = config.level;
    let mut store = flash
        .ok()
        .and_then(|flash| Store::new(flash, layout::virt::STORE.range()).ok());
    let saved = store.as_mut().map(Store::saved).unwrap_or_default();
    let net = match Net::new() {
        Ok(net) => net,
        Err(error) => return console!("net: {error:?}"),
    };
    let mac = net.mac();
    let seed = rng::seed(mac);
    let mut id = [0; 17];
    let id = own_id(mac, &mut id);
    let resources = RESOURCES.init(StackResources::new());
    let card = Witness::new(net, &SEEN);
    let name = config.id.unwrap_or(id);
    let (stack, runner) = embassy_net::new(card, dhcp(name), resources, seed);
    match network(runner) {
        Ok(token) => spawner.spawn(token),
        Err(error) => return console!("net: {error:?}"),
    }
    let start = Start {
        config: &config,
        id,
        version: VERSION,
        saved,
        seed,
    };
    let mut sensor = VirtSensor::new(wire, seed as u32);
    let parts = Parts {
        hardware: &mut board,
        sensor: &mut sensor,
        display: Some(Wired(panel)),
        button: Finger(contact),
        store: store.as_mut(),
        stack,
        seen: &SEEN,
        memory: MEMORY.take(),
        session: SESSION.take(),
    };
    let error = run(&start, parts).await;
    without_config(&mut board, error).await
}

/// `virt-` and the hexadecimal digits of the network card's address.
fn own_id(mac: [u8; 6], id: &mut [u8; 17]) -> &str {
    let digits = mac.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    let digits = digits.map(|digit| b"0123456789abcdef"[usize::from(digit)]);
    for (place, byte) in id.iter_mut().zip(b"virt-".iter().copied().chain(digits)) {
        *place = byte;
    }
    core::str::from_utf8(id).unwrap_or("virt")
}

#[embassy_executor::task]
async fn network(mut runner: Runner<'static, Witness<'static, Net>>) {
    runner.run().await
}

/// What the finger on the button did: pressed it, or let it go.
type Contact = Channel<NoopRawMutex, bool, 8>;

/// The button.
struct Finger(&'static Contact);

impl Button for Finger {
    async fn edge(&mut self) -> bool {
        self.0.receive().await
    }
}

/// Prints what a person sees on the display.
fn print_screen(panel: &Ssd1306) {
    struct Row<'p>(&'p aldis_panel::Picture, u8);

    impl fmt::Display for Row<'_> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            let Self(picture, row) = *self;
            (0..64).try_for_each(|column| fmt::Write::write_char(f, picture.braille(column, row)))
        }
    }

    let picture = panel.picture();
    for row in 0..16 {
        console!("screen: {}", Row(&picture, row));
    }
}

/// Does to the button what a line says after `button `.
async fn press(what: &[u8], contact: &Contact) {
    match what {
        b"down" => contact.send(true).await,
        b"up" => contact.send(false).await,
        digits => {
            let ms = core::str::from_utf8(digits).ok();
            let Some(ms) = ms.and_then(|ms| ms.parse().ok()) else {
                return console!("not known: button down, up or milliseconds");
            };
            contact.send(true).await;
            Timer::after_millis(ms).await;
            contact.send(false).await;
        }
    }
}

/// Does what a person would do to the board.
#[embassy_executor::task]
async fn person(
    wire: &'static Cell<Wire>,
    panel: &'static RefCell<Ssd1306>,
    contact: &'static Contact,
) {
    let mut lines = Lines::<64>::new();
    loop {
        let line = lines.next().await;
        if let Some(name) = line.strip_prefix(b"sensor ")
            && let Some(found) = Wire::named(name)
        {
            wire.set(found);
            continue;
        }
        if let Some(what) = line.strip_prefix(b"button ") {
            press(what, contact).await;
            continue;
        }
        match line {
            b"screen" => print_screen(&panel.borrow()),
            b"panel absent" => panel.borrow_mut().unplug(),
            b"panel held" => panel.borrow_mut().hold_low(true),
            b"panel back" => {
                panel.borrow_mut().hold_low(false);
                panel.borrow_mut().replug();
            }
            b"memory" => report_memory(),
            b"restart" => reset::restart(ResetReason::Software),
            b"off" => reset::power_off(),
            b"panic" => panic!("as somebody wished"),
            b"hang" => block_for(Duration::from_secs(1_000)),
            _ => console!(
                "not known: sensor WHAT, button WHAT, screen, panel WHAT, memory, restart, off, panic or hang"
            ),
        }
    }
}

fn report_memory() {
    let memory = stack::memory();
    console!(
        "memory: static {} stack {} used {}",
        memory.data,
        memory.stack,
        memory.stack_max
    );
}
