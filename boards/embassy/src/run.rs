//! The device, on embassy's network and clock.

use core::cell::RefCell;

use aldis_device::dht::Pulse;
use aldis_device::screen::{Frame, Panel, Rotation, Screen};
use aldis_device::{Backlog, Device, Facts, Mail, Saved, Supervisor};
use aldis_flash::Store;
use aldis_flash::config::{self, Config, Level};
use aldis_flash::layout::Partition;
use aldis_mqtt::link::embassy::{EmbassyClock, Lookup, TcpConnector};
use aldis_mqtt::link::{Clock, Link};
use aldis_mqtt::{Event, Instant, Network, Transport};
use embassy_futures::join::join5;
use embassy_futures::poll_once;
use embassy_futures::select::{Either4, select, select4};
use embassy_net::Stack;
use embassy_sync::blocking_mutex::raw::NoopRawMutex;
use embassy_sync::channel::Channel;
use embassy_sync::signal::Signal;
use embassy_time::Timer;
use embedded_hal_async::i2c::I2c;
use embedded_storage_async::nor_flash::{NorFlash, ReadNorFlash};

use crate::board::EmbassyBoard;
use crate::console::Line;
use crate::display::Glass;
use crate::network::{Address, Change, addresses};
use crate::witness::Seen;
use crate::{Button, Hardware, PULSES, Sensor};

/// The most readings that wait for delivery.
const BACKLOG: usize = 512;

/// What goes out together: as much as one segment of a local network holds.
const SEGMENT: usize = 1_400;

/// The memory of a device: a static, so that none of it is ever on the stack. While
/// it is empty it is all zeros, and takes no room in the image.
#[derive(Debug)]
pub struct Memory {
    backlog: Backlog<BACKLOG>,
    mail: Mail,
    frame: RefCell<Frame>,
    receive: [u8; 1_536],
    transmit: [u8; 2_048],
    segment: [u8; SEGMENT],
    knock: [[u8; 16]; 2],
}

impl Memory {
    /// Empty.
    pub const fn new() -> Self {
        Self {
            backlog: Backlog::new(),
            mail: Mail::new(),
            frame: RefCell::new(Frame::new()),
            receive: [0; 1_536],
            transmit: [0; 2_048],
            segment: [0; SEGMENT],
            knock: [[0; 16]; 2],
        }
    }
}

impl Default for Memory {
    fn default() -> Self {
        Self::new()
    }
}

/// How often radio and address are looked at, in milliseconds.
const LOOK_MS: u32 = 1_000;

/// How often somebody is asked whether anything comes through, in milliseconds, while
/// the broker does not show it.
const ASK_MS: u32 = 5_000;

/// Edges of the button that wait for the device.
const EDGES: usize = 16;

/// The length of the memory that a configuration is read into.
pub const CONFIG_LEN: usize = config::MAX_LEN;

/// Reads the configuration from its part of the flash.
///
/// # Errors
/// If there is none that can be used.
pub fn read_config<'b, F: ReadNorFlash>(
    flash: &mut F,
    part: &Partition,
    bytes: &'b mut [u8; CONFIG_LEN],
) -> Result<Config<'b>, config::Error> {
    match poll_once(flash.read(part.offset, bytes)) {
        core::task::Poll::Ready(Ok(())) => Config::decode(bytes),
        _ => Err(config::Error::Flash),
    }
}

/// What a device starts with.
pub struct Start<'a> {
    /// Its configuration.
    pub config: &'a Config<'a>,
    /// Its id, where none is configured.
    pub id: &'a str,
    /// The version of the firmware.
    pub version: &'a str,
    /// What it remembers.
    pub saved: Saved,
    /// Chance, so that devices do not all do the same at the same moment.
    pub seed: u64,
}

/// What it is made of.
pub struct Parts<'p, H, S, F, I, B> {
    /// Lamp, watchdog, radio, console.
    pub hardware: &'p mut H,
    /// The climate sensor.
    pub sensor: &'p mut S,
    /// The bus of the display; without it, there is none.
    pub display: Option<I>,
    /// The button.
    pub button: B,
    /// Where it remembers; without it, it forgets.
    pub store: Option<&'p mut Store<F>>,
    /// The network stack. Its card is a [`Witness`](crate::witness::Witness).
    pub stack: Stack<'p>,
    /// What that witness saw.
    pub seen: &'p Seen,
    /// Memory.
    pub memory: &'p mut Memory,
    /// The session's memory.
    pub session: &'p mut aldis_device::Memory,
}

/// Runs the device, for as long as the board has power.
///
/// Gives up if the configuration cannot work. It was checked when it was read, so what
/// is left is a PC's mistake.
pub async fn run<H: Hardware, S: Sensor, F: NorFlash, I: I2c, B: Button>(
    start: &Start<'_>,
    parts: Parts<'_, H, S, F, I, B>,
) -> config::Error {
    let Parts {
        hardware,
        sensor,
        display,
        mut button,
        store,
        stack,
        seen,
        memory,
        session: session_memory,
    } = parts;
    let settings = match start.config.settings(start.id, start.version) {
        Ok(settings) => aldis_device::Settings {
            start_limit: Some(5),
            ..settings
        },
        Err(error) => return error,
    };
    let clock = EmbassyClock;
    let now = clock.now();
    let mut board = EmbassyBoard::new(hardware, store, start.config);
    let vitals = board.hardware.vitals();
    board.say(
        Level::Info,
        Line::Boot {
            version: start.version,
            id: settings.topics.id(),
            boot: start.saved.boot.wrapping_add(1),
            reset: vitals.reset,
        },
    );
    let mut device = Device::new(
        settings,
        start.saved,
        &mut memory.backlog,
        &mut memory.mail,
        now,
        &mut board,
    );
    let mut safe = device.is_safe();
    if safe {
        board.say(Level::Warn, Line::Safe);
    }
    if let Some(store) = &mut board.store {
        store.recall(BACKLOG, |reading| device.recall(reading));
        store.recall_letters(|letter, mark| device.recall_letter(letter, mark));
        store.recall_notes(|note| device.recall_note(note));
        store.recall_outgoing(|outgoing| device.recall_outgoing(outgoing));
    }
    let Ok(mut session) = session_memory.session(&settings, start.seed, now) else {
        return config::Error::Entry("broker");
    };
    if device.subscribe(&mut session).is_err() {
        return config::Error::Entry("readout.command_topic");
    }
    let (host, port) = (start.config.host, start.config.port);
    let (receive, transmit) = (&mut memory.receive, &mut memory.transmit);
    let lookup = Lookup::new(stack, host);
    let [knock_receive, knock_transmit] = &mut memory.knock;
    let connector = TcpConnector::new(stack, receive, transmit, host, port)
        .with_lookup(&lookup)
        .with_knock(knock_receive, knock_transmit);
    let mut link = Link::new(session, connector, clock).gather(&mut memory.segment);
    let mut contact = Contact {
        supervisor: Supervisor::new(now),
        address: Address::default(),
        stack,
        seen,
        wifi_losses: None,
        look_at: now,
        ask_at: now,
    };

    let glass = Glass::new(&memory.frame);
    glass.safe.set(safe);
    let screen = Screen::new(&memory.frame);
    let mut draw_at = now;
    let network = start.config.wifi.map(|wifi| wifi.ssid);
    let edges = Channel::<NoopRawMutex, (bool, Instant), EDGES>::new();
    let pressing = async {
        loop {
            let pressed = button.edge().await;
            edges.send((pressed, EmbassyClock.now())).await;
        }
    };
    let showing = async {
        if let Some(bus) = display {
            let screen = start.config.screen;
            let rotation = match screen.rotated {
                true => Rotation::Half,
                false => Rotation::Upright,
            };
            let mut panel = Panel::new(bus, screen.address, rotation);
            glass.run(&mut panel).await;
        }
    };

    let begin = Signal::<NoopRawMutex, ()>::new();
    let ended = Signal::<NoopRawMutex, usize>::new();
    let pulses = RefCell::new([Pulse::low(0); PULSES]);
    // Beside the device, so that a measurement goes on whatever the network does.
    let measuring = async {
        loop {
            begin.wait().await;
            let mut taken = [Pulse::low(0); PULSES];
            let len = sensor.measure(&mut taken).await;
            pulses.replace(taken);
            ended.signal(len.min(PULSES));
        }
    };
    let living = async {
        // There is a connection or an attempt, or its end was not told yet.
        let mut open = false;
        loop {
            let (session, now) = link.parts();
            // What came in time counts, also when the loop comes late to it.
            if let Some(len) = ended.try_take() {
                let pulses = pulses.borrow();
                device.measured(pulses.get(..len).unwrap_or(&[]), now, &mut board);
            }
            while let Ok((pressed, at)) = edges.try_receive() {
                device.button(pressed, at);
            }
            contact.look(session, &mut board, now);
            let deadline = device.run(session, now, &mut board);
            if core::mem::take(&mut board.measure) {
                ended.reset();
                begin.signal(());
            }
            if safe && !device.is_safe() {
                safe = false;
                glass.safe.set(false);
                glass.changed.signal(());
                board.say(Level::Warn, Line::SafeEnds);
            }
            if device.has_changed() || draw_at <= now {
                let facts = Facts {
                    wifi: board.hardware.wifi(),
                    network: network.unwrap_or_default(),
                    address: contact.address.now(),
                    broker: host,
                };
                draw_at = screen.draw(&device.view(&facts, now), now);
                // What was seen until now was the page before.
                glass.drawn.reset();
                glass.changed.signal(());
            }
            let deadline = deadline.min(contact.look_at).min(draw_at);
            open |= session.transport() != Transport::Closed;
            // Without an address an attempt would fail, and the next one wait longer.
            let drive = contact.address.is_up() || open;
            let event = async {
                match drive {
                    true => link.next().await,
                    false => core::future::pending().await,
                }
            };
            let timer = Timer::at(embassy_time::Instant::from_millis(deadline.as_millis()));
            let timer = select(timer, glass.drawn.wait());
            match select4(event, ended.wait(), edges.receive(), timer).await {
                Either4::First(event) => {
                    open &= !matches!(event, Event::Disconnected { .. });
                    let reaction = device.event(&event, EmbassyClock.now(), &mut board);
                    let (session, _) = link.parts();
                    device.react(reaction, session, &mut board);
                }
                Either4::Second(len) => {
                    let pulses = pulses.borrow();
                    let pulses = pulses.get(..len).unwrap_or(&[]);
                    device.measured(pulses, EmbassyClock.now(), &mut board);
                }
                Either4::Third((pressed, at)) => device.button(pressed, at),
                Either4::Fourth(embassy_futures::select::Either::First(())) => {}
                Either4::Fourth(embassy_futures::select::Either::Second(())) => {
                    device.drawn(EmbassyClock.now());
                }
            }
        }
    };
    let ((), never, _, (), ()) = join5(measuring, living, lookup.run(), pressing, showing).await;
    never
}

/// What the device knows of radio and network, and who looks after them.
struct Contact<'s> {
    supervisor: Supervisor,
    address: Address,
    stack: Stack<'s>,
    seen: &'s Seen,
    /// How often the wireless network had been lost when the address changed last.
    wifi_losses: Option<u32>,
    look_at: Instant,
    ask_at: Instant,
}

impl Contact<'_> {
    /// Looks at radio and address, if it is time to, and feeds the watchdog if all
    /// gets on.
    fn look<H: Hardware, F: NorFlash>(
        &mut self,
        session: &mut aldis_mqtt::Session<'_>,
        board: &mut EmbassyBoard<'_, H, F>,
        now: Instant,
    ) {
        let (address, gateway) = addresses(self.stack);
        let change = self.address.watch(address);
        let wifi_losses = change.and_then(|_| board.hardware.vitals().wifi_losses);
        let before = match change {
            Some(_) => core::mem::replace(&mut self.wifi_losses, wifi_losses),
            None => None,
        };
        match change {
            Some(Change::Up(address)) => board.say(Level::Info, Line::Ip(address)),
            Some(Change::Moved(address)) => {
                board.say(Level::Info, Line::Ip(address));
                board.address_losses = board.address_losses.saturating_add(1);
                // A connection of the old address is dead, and nobody would say so.
                if session.transport() != Transport::Closed {
                    session.failed(Network::Down, now);
                }
            }
            Some(Change::Down) => {
                board.say(Level::Info, Line::NoIp);
                // With the network goes the address: that is counted there.
                if wifi_losses == before {
                    board.address_losses = board.address_losses.saturating_add(1);
                }
            }
            None => {}
        }
        if now < self.look_at {
            return;
        }
        self.look_at = now.after(LOOK_MS);
        let radio = board.hardware.radio();
        let connected = session.is_connected();
        self.seen.nudge();
        if let Some(ours) = address
            && !connected
            && self.ask_at <= now
        {
            self.ask_at = now.after(ASK_MS);
            // Without a gateway nobody answers; but whether it goes out shows.
            self.seen.ask(ours, gateway.unwrap_or(ours));
        }
        // Where nobody can be asked, silence says nothing.
        let answered = connected || address.is_some() && gateway.is_none() && !radio.blocked;
        if let Some(order) = self.supervisor.watch(radio, answered, now) {
            board.say(Level::Warn, Line::Order(order));
            board.hardware.order(order);
        }
        if self.supervisor.is_alive(now) {
            board.hardware.feed();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aldis_flash::layout;
    use aldis_world::flash::{Cut, Flash};

    /// A board that does not say why it joins no network.
    #[test]
    fn a_configuration_is_read_or_its_lack_is_told() {
        let mut flash = Flash::<4096>::new(16);
        let mut bytes = [0; CONFIG_LEN];
        let read = read_config(&mut flash, &layout::CONFIG, &mut bytes);
        assert_eq!(read, Err(config::Error::Missing));
        let config = Config::new("hub.local", 1883);
        let place = layout::CONFIG.offset as usize;
        let room = &mut flash.bytes()[place..place + CONFIG_LEN];
        config.encode(room).unwrap();
        let mut bytes = [0; CONFIG_LEN];
        let read = read_config(&mut flash, &layout::CONFIG, &mut bytes);
        assert_eq!(read, Ok(config));
        flash.cut(0, Cut::Before);
        let _ = poll_once(flash.write(0, &[0; 4]));
        let mut bytes = [0; CONFIG_LEN];
        let read = read_config(&mut flash, &layout::CONFIG, &mut bytes);
        assert_eq!(read, Err(config::Error::Flash));
    }
}
