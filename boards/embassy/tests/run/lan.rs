//! A device on a network with a gateway, a name server and a broker, on virtual time.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fmt;
use std::future::{Future, poll_fn};
use std::net::Ipv4Addr;
use std::rc::Rc;
use std::task::{Context, Waker};

use aldis_device::dht::{Frame, Pulse, Wave};
use aldis_device::{Order, Radio, Saved, Vitals};
use aldis_embassy::witness::{Seen, Witness};
use aldis_embassy::{Button, Hardware, Memory, Parts, Sensor, Start, dhcp};
use aldis_flash::Store;
use aldis_flash::config::{Config, Level};
use aldis_panel::{Shared, Ssd1306};
use aldis_protocol::{Lamp, Reading};
use aldis_world::broker::codec::Qos;
use aldis_world::broker::{Accepted, Broker, Keep, Message};
use aldis_world::flash::Flash;
use embassy_futures::select::{Either, select};
use embassy_net::driver::{Capabilities, Driver, HardwareAddress, LinkState, RxToken, TxToken};
use embassy_net::tcp::TcpSocket;
use embassy_net::udp::{PacketMetadata, UdpSocket};
use embassy_net::{ConfigV4, Ipv4Cidr, Stack, StackResources, StaticConfigV4};
use embassy_time::{Duration, Timer, with_timeout};
use embedded_hal_async::i2c::{ErrorType, I2c, Operation};

use crate::time::{Task, now, run};

/// Who is where.
const GATEWAY: Ipv4Addr = address(2);
pub const NAMES: Ipv4Addr = address(4);
/// Nobody is there.
pub const NOBODY: Ipv4Addr = address(99);

const fn address(host: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 0, 0, host)
}

/// One socket of the hub. The first is the device's, the second the gateway's.
#[derive(Default)]
struct Port {
    queue: VecDeque<Vec<u8>>,
    waker: Option<Waker>,
    /// What is sent to it and by it is lost.
    dead: bool,
    /// It sends no ICMP, as many a firewall.
    discreet: bool,
    /// Its card takes and gives no frames.
    full: bool,
}

#[derive(Clone)]
struct Card {
    hub: Rc<RefCell<Vec<Port>>>,
    at: usize,
}

struct Received(Vec<u8>);
struct Sending<'a>(&'a Card);

impl RxToken for Received {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(mut self, f: F) -> R {
        f(&mut self.0)
    }
}

impl TxToken for Sending<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let mut frame = vec![0; len];
        let result = f(&mut frame);
        let hub = &mut *self.0.hub.borrow_mut();
        let sender = &hub[self.0.at];
        let is_icmp = frame.get(12..14) == Some(&[8, 0]) && frame.get(23) == Some(&1);
        if sender.dead || sender.discreet && is_icmp {
            return result;
        }
        for (at, port) in hub.iter_mut().enumerate() {
            let meant = frame[0] & 1 == 1 || frame[..6] == mac(at);
            if at != self.0.at && !port.dead && meant {
                port.queue.push_back(frame.clone());
                if let Some(waker) = port.waker.take() {
                    waker.wake();
                }
            }
        }
        result
    }
}

fn mac(at: usize) -> [u8; 6] {
    [2, 0, 0, 0, 0, at as u8 + 1]
}

impl Card {
    fn new(hub: &Rc<RefCell<Vec<Port>>>) -> Self {
        let at = hub.borrow().len();
        hub.borrow_mut().push(Port::default());
        Self {
            hub: hub.clone(),
            at,
        }
    }
}

impl Driver for Card {
    type RxToken<'a> = Received;
    type TxToken<'a> = Sending<'a>;

    fn receive(&mut self, cx: &mut Context<'_>) -> Option<(Received, Sending<'_>)> {
        let frame = {
            let port = &mut self.hub.borrow_mut()[self.at];
            port.waker = Some(cx.waker().clone());
            if port.full {
                return None;
            }
            port.queue.pop_front()?
        };
        Some((Received(frame), Sending(self)))
    }

    fn transmit(&mut self, cx: &mut Context<'_>) -> Option<Sending<'_>> {
        let full = {
            let port = &mut self.hub.borrow_mut()[self.at];
            port.waker = Some(cx.waker().clone());
            port.full
        };
        (!full).then_some(Sending(self))
    }

    fn link_state(&mut self, cx: &mut Context<'_>) -> LinkState {
        self.hub.borrow_mut()[self.at].waker = Some(cx.waker().clone());
        LinkState::Up
    }

    fn capabilities(&self) -> Capabilities {
        let mut capabilities = Capabilities::default();
        capabilities.max_transmission_unit = 1514;
        capabilities
    }

    fn hardware_address(&self) -> HardwareAddress {
        HardwareAddress::Ethernet(mac(self.at))
    }
}

/// The board of the device, which writes everything down.
struct Board<'a> {
    seen: &'a Seen,
    turns: u32,
    life: &'a Life,
}

impl Hardware for Board<'_> {
    fn light(&mut self, lamp: Lamp) {
        self.life.lit.borrow_mut().push(lamp);
    }

    fn vitals(&mut self) -> Vitals {
        Vitals {
            free: Some(7),
            wifi_losses: Some(3),
            ..Vitals::default()
        }
    }

    fn feed(&mut self) {
        self.life.fed.set(now());
    }

    fn radio(&mut self) -> Radio {
        self.turns += 1;
        Radio {
            joined: true,
            turns: self.turns,
            ..self.seen.look()
        }
    }

    fn order(&mut self, order: Order) {
        self.life.orders.borrow_mut().push((now() / 1_000, order));
    }

    fn restart(&mut self) {
        self.life.restarts.borrow_mut().push(now());
    }

    fn print(&mut self, level: Level, line: fmt::Arguments<'_>) {
        if level <= Level::Info {
            self.life.said.borrow_mut().push((now(), line.to_string()));
        }
    }
}

struct Good<'a>(&'a Life);

impl Sensor for Good<'_> {
    async fn measure(&mut self, pulses: &mut [Pulse]) -> usize {
        self.0.measured.set(self.0.measured.get() + 1);
        Timer::after_millis(20).await;
        let wave = Wave::new(Frame::dht22(Reading { t: 200, h: 400 }));
        let nominal = wave.map(|part| part.nominal());
        pulses
            .iter_mut()
            .zip(nominal)
            .map(|(place, pulse)| *place = pulse)
            .count()
    }
}

/// What happened to a device.
#[derive(Default)]
pub struct Life {
    /// When it was to restart, as somebody told it to.
    pub restarts: RefCell<Vec<u64>>,
    /// The supervisor's orders, with their second.
    pub orders: RefCell<Vec<(u64, Order)>>,
    /// The lines of the console, with their millisecond.
    pub said: RefCell<Vec<(u64, String)>>,
    /// When the watchdog was fed last.
    pub fed: Cell<u64>,
    /// How often the device was woken.
    pub polls: Cell<u64>,
    /// What the broker was given.
    pub accepted: RefCell<Vec<Accepted>>,
    /// How the lamp was lit.
    pub lit: RefCell<Vec<Lamp>>,
    /// How often a measurement was begun.
    pub measured: Cell<u32>,
}

impl Life {
    /// When the line was said, in milliseconds.
    pub fn said_at(&self, text: &str) -> Option<u64> {
        let said = self.said.borrow();
        said.iter()
            .find(|(_, line)| line.starts_with(text))
            .map(|(at, _)| *at)
    }

    /// The lines of the console.
    pub fn lines(&self) -> Vec<String> {
        let said = self.said.borrow();
        said.iter().map(|(_, line)| line.clone()).collect()
    }

    /// What the broker was given on this topic.
    pub fn on(&self, topic: &str) -> Vec<String> {
        let accepted = self.accepted.borrow();
        let on = accepted.iter().filter(|accepted| accepted.topic == topic);
        on.map(|accepted| String::from_utf8_lossy(&accepted.payload).into_owned())
            .collect()
    }

    pub fn orders(&self) -> Vec<(u64, Order)> {
        self.orders.borrow().clone()
    }
}

/// The network that a device finds.
pub struct Lan {
    /// Where its broker should be. `broker.test` is the one there is.
    pub host: &'static str,
    pub gateway: Option<Ipv4Addr>,
    pub names: Vec<Ipv4Addr>,
    /// How long the name server takes.
    pub names_ms: u64,
    /// The gateway answers nothing but questions for its address.
    pub discreet: bool,
    /// The address is to come from a server that there is not.
    pub dhcp: bool,
    /// From when to when, in seconds, the gateway is away.
    pub gateway_away: (u64, u64),
    /// From which second on the device's card is full.
    pub full_from: u64,
    /// When the task of the device's network stack hangs, in seconds.
    pub hangs_at: u64,
    /// What is published on `output`, and in which second.
    pub commands: Vec<(u64, &'static str)>,
    /// In which second it is told to restart.
    pub restarts: Vec<u64>,
    /// The device's address from which second on, or that it has none.
    pub addresses: Vec<(u64, Option<u8>)>,
    /// In which second the broker restarts.
    pub broker_restarts: u64,
    /// What the device remembers.
    pub saved: Saved,
    /// Messages, and at which second.
    pub messages: Vec<(u64, &'static str)>,
    /// When the button is pressed, for how long, in milliseconds.
    pub presses: Vec<(u64, u64)>,
    pub bus: Bus,
    /// What is done to the display, and at which second.
    pub hands: Vec<(u64, Hand)>,
}

/// What does not happen.
pub const NEVER: u64 = 1_000_000;

impl Lan {
    /// One on which all is well, but that nobody is where the broker should be.
    pub fn new(host: &'static str) -> Self {
        Self {
            host,
            gateway: Some(GATEWAY),
            names: vec![NAMES],
            names_ms: 30,
            discreet: false,
            dhcp: false,
            gateway_away: (NEVER, NEVER),
            full_from: NEVER,
            hangs_at: NEVER,
            commands: Vec::new(),
            restarts: Vec::new(),
            addresses: Vec::new(),
            broker_restarts: NEVER,
            saved: Saved::default(),
            messages: Vec::new(),
            presses: Vec::new(),
            bus: Bus::default(),
            hands: Vec::new(),
        }
    }

    /// A device's life of so many seconds on it, without memory.
    pub fn live(&self, seconds: u64) -> Life {
        self.live_with(seconds, None)
    }

    /// The same, with this memory.
    pub fn live_with(&self, seconds: u64, store: Option<&mut Store<Flash>>) -> Life {
        let hub = Rc::new(RefCell::new(Vec::new()));
        let (seen, life) = (Seen::new(), Life::default());
        let mut resources = [const { StackResources::<8>::new() }; 4];
        let [first, second, third, fourth] = &mut resources;
        let card = Witness::new(Card::new(&hub), &seen);
        let config = match self.dhcp {
            true => dhcp("dev"),
            false => fixed(address(1), self.gateway, &self.names),
        };
        let (stack, mut runner) = embassy_net::new(card, config, first, 1);
        let machine = |at, resources| {
            embassy_net::new(
                Card::new(&hub),
                fixed(address(at), None, &[]),
                resources,
                at.into(),
            )
        };
        let (_gateway, mut gateway_runner) = machine(2, second);
        let (broker_stack, mut broker_runner) = machine(3, third);
        let (names_stack, mut names_runner) = machine(4, fourth);
        hub.borrow_mut()[1].discreet = self.discreet;
        let broker = RefCell::new(Broker::new(aldis_world::broker::Config::default()));
        let config = Config {
            id: Some("dev"),
            ..Config::new(self.host, 1883)
        };
        let start = Start {
            config: &config,
            id: "dev",
            version: "1",
            saved: self.saved,
            seed: 5,
        };
        let mut board = Board {
            seen: &seen,
            turns: 0,
            life: &life,
        };
        let (mut memory, mut session) = (Memory::new(), aldis_device::Memory::new());
        let parts = Parts {
            hardware: &mut board,
            sensor: &mut Good(&life),
            display: Some(self.bus.clone()),
            button: Presses(self.presses.iter().copied().collect()),
            store,
            stack,
            seen: &seen,
            memory: &mut memory,
            session: &mut session,
        };
        let device = async {
            let mut device = Box::pin(aldis_embassy::run(&start, parts));
            poll_fn(|cx| {
                life.polls.set(life.polls.get() + 1);
                device.as_mut().poll(cx)
            })
            .await;
        };
        let hang = Duration::from_secs(self.hangs_at);
        let tasks: Vec<Task<'_>> = vec![
            Box::pin(self.weather(&hub, &broker, stack, seconds)),
            Box::pin(device),
            Box::pin(async move {
                let _ = with_timeout(hang, runner.run()).await;
                std::future::pending().await
            }),
            Box::pin(async move { gateway_runner.run().await }),
            Box::pin(async move { broker_runner.run().await }),
            Box::pin(async move { names_runner.run().await }),
            // A second one, for whoever comes before the first has noticed that he left.
            Box::pin(serve(broker_stack, &broker)),
            Box::pin(serve(broker_stack, &broker)),
            Box::pin(name(names_stack, self.names_ms)),
        ];
        run(tasks);
        life.accepted.replace(broker.borrow_mut().take_log());
        life
    }

    /// What happens on the network, second by second.
    async fn weather(
        &self,
        hub: &RefCell<Vec<Port>>,
        broker: &RefCell<Broker>,
        device: Stack<'_>,
        seconds: u64,
    ) {
        for second in 0..seconds {
            let (from, to) = self.gateway_away;
            hub.borrow_mut()[1].dead = (from..to).contains(&second);
            hub.borrow_mut()[0].full = second >= self.full_from;
            for (_, command) in self.commands.iter().filter(|(at, _)| *at == second) {
                let message = Message::new("output", command.as_bytes(), Qos::AtLeastOnce);
                broker.borrow_mut().publish(message, now());
            }
            if self.restarts.contains(&second) {
                let topic = "aldis/dev/restart";
                let message = Message::new(topic, b"restart", Qos::AtLeastOnce);
                broker.borrow_mut().publish(message, now());
            }
            for (_, text) in self.messages.iter().filter(|(at, _)| *at == second) {
                let topic = "aldis/dev/message/set";
                let message = Message::new(topic, text.as_bytes(), Qos::ExactlyOnce);
                broker.borrow_mut().publish(message, now());
            }
            for (_, hand) in self.hands.iter().filter(|(at, _)| *at == second) {
                hand(&self.bus);
            }
            for (_, host) in self.addresses.iter().filter(|(at, _)| *at == second) {
                device.set_config_v4(match host {
                    Some(host) => fixed(address(*host), self.gateway, &self.names).ipv4,
                    None => ConfigV4::None,
                });
            }
            if second == self.broker_restarts {
                broker.borrow_mut().restart(Keep::Nothing, now());
            }
            Timer::after_secs(1).await;
        }
    }
}

/// Something that is done to a display.
pub type Hand = fn(&Bus);

/// The bus of a display.
#[derive(Clone, Default)]
pub struct Bus {
    pub panel: Shared,
    /// A transfer never ends.
    pub hangs: Rc<Cell<bool>>,
}

impl ErrorType for Bus {
    type Error = aldis_panel::Error;
}

impl I2c for Bus {
    async fn transaction(
        &mut self,
        address: u8,
        operations: &mut [Operation<'_>],
    ) -> Result<(), Self::Error> {
        if self.hangs.get() {
            std::future::pending::<()>().await;
        }
        I2c::transaction(&mut self.panel, address, operations).await
    }
}

impl Bus {
    pub fn panel(&self) -> std::sync::MutexGuard<'_, Ssd1306> {
        self.panel.lock()
    }
}

/// A button, and when it is pressed for how long, in milliseconds.
struct Presses(VecDeque<(u64, u64)>);

impl Button for Presses {
    async fn edge(&mut self) -> bool {
        let Some((at, hold)) = self.0.front().copied() else {
            return std::future::pending().await;
        };
        if now() < at {
            Timer::after_millis(at - now()).await;
            return true;
        }
        Timer::after_millis((at + hold).saturating_sub(now())).await;
        self.0.pop_front();
        false
    }
}

fn fixed(address: Ipv4Addr, gateway: Option<Ipv4Addr>, names: &[Ipv4Addr]) -> embassy_net::Config {
    let mut config = StaticConfigV4 {
        address: Ipv4Cidr::new(address, 24),
        gateway,
        dns_servers: Default::default(),
    };
    for name in names {
        config.dns_servers.push(*name).unwrap();
    }
    embassy_net::Config::ipv4_static(config)
}

/// A broker.
async fn serve(stack: Stack<'_>, broker: &RefCell<Broker>) {
    let (mut receive, mut transmit) = ([0; 2048], [0; 2048]);
    loop {
        let mut socket = TcpSocket::new(stack, &mut receive, &mut transmit);
        if socket.accept(1883).await.is_err() {
            continue;
        }
        let conn = broker.borrow_mut().open(now());
        let mut bytes = [0; 512];
        loop {
            let output = broker.borrow_mut().output(conn);
            let mut left = &output[..];
            while !left.is_empty() {
                match with_timeout(Duration::from_secs(30), socket.write(left)).await {
                    Ok(Ok(len)) => left = &left[len..],
                    _ => break,
                }
            }
            if !left.is_empty() || broker.borrow().is_closed(conn) {
                socket.close();
                break;
            }
            match with_timeout(Duration::from_millis(10), socket.read(&mut bytes)).await {
                Ok(Ok(0) | Err(_)) => break,
                Ok(Ok(len)) => broker.borrow_mut().receive(conn, &bytes[..len], now()),
                Err(_) => broker.borrow_mut().tick(now()),
            }
        }
        broker.borrow_mut().closed(conn, now());
    }
}

/// A name server that takes its time, and knows the broker.
async fn name(stack: Stack<'_>, delay_ms: u64) {
    let mut metadata = [[PacketMetadata::EMPTY; 8]; 2];
    let mut bytes = [[0; 2048]; 2];
    let ([receive_metadata, transmit_metadata], [receive, transmit]) = (&mut metadata, &mut bytes);
    let mut socket = UdpSocket::new(
        stack,
        receive_metadata,
        receive,
        transmit_metadata,
        transmit,
    );
    socket.bind(53).unwrap();
    let mut waiting = VecDeque::new();
    let mut question = [0; 512];
    loop {
        let due = waiting.front().map_or(u64::MAX / 2_000, |(at, _, _)| *at);
        let timer = Timer::at(embassy_time::Instant::from_millis(due));
        match select(socket.recv_from(&mut question), timer).await {
            Either::First(Ok((len, from))) => {
                let mut answer = question[..len].to_vec();
                answer[2..12].copy_from_slice(&[0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0]);
                answer.extend([0xc0, 0x0c, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
                answer.extend(address(3).octets());
                waiting.push_back((now() + delay_ms, answer, from));
            }
            Either::First(Err(_)) => {}
            Either::Second(()) => {
                if let Some((_, answer, from)) = waiting.pop_front() {
                    let _ = socket.send_to(&answer, from).await;
                }
            }
        }
    }
}
