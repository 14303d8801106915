//! A hub with embassy-net stacks on it, brokers and a name server, on virtual time.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::net::Ipv4Addr;
use std::rc::Rc;
use std::task::{Context, Waker};

use aldis_world::broker::{Broker, Config};
use embassy_futures::select::{Either, select};
use embassy_net::driver::{Capabilities, Driver, HardwareAddress, LinkState, RxToken, TxToken};
use embassy_net::tcp::TcpSocket;
use embassy_net::udp::{PacketMetadata, UdpSocket};
use embassy_net::{Ipv4Cidr, Runner, Stack, StackResources, StaticConfigV4};
use embassy_time::{Duration, Timer};

pub use crate::time::now;
use crate::time::{Task, run};

/// One socket of the hub.
#[derive(Default)]
struct Port {
    queue: VecDeque<Vec<u8>>,
    waker: Option<Waker>,
    /// What is sent here is lost.
    mute: bool,
    /// What is sent to here is lost.
    deaf: bool,
    down: bool,
}

#[derive(Default)]
struct Hub(Vec<Port>);

#[derive(Clone)]
struct Card {
    hub: Rc<RefCell<Hub>>,
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
        if hub.0[self.0.at].mute || hub.0[self.0.at].down {
            return result;
        }
        for (at, port) in hub.0.iter_mut().enumerate() {
            if at != self.0.at && !port.deaf && !port.down {
                port.queue.push_back(frame.clone());
                if let Some(waker) = port.waker.take() {
                    waker.wake();
                }
            }
        }
        result
    }
}

impl Driver for Card {
    type RxToken<'a> = Received;
    type TxToken<'a> = Sending<'a>;

    fn receive(&mut self, cx: &mut Context<'_>) -> Option<(Received, Sending<'_>)> {
        let frame = {
            let port = &mut self.hub.borrow_mut().0[self.at];
            port.waker = Some(cx.waker().clone());
            port.queue.pop_front()?
        };
        Some((Received(frame), Sending(self)))
    }

    fn transmit(&mut self, _: &mut Context<'_>) -> Option<Sending<'_>> {
        Some(Sending(self))
    }

    fn link_state(&mut self, cx: &mut Context<'_>) -> LinkState {
        let port = &mut self.hub.borrow_mut().0[self.at];
        port.waker = Some(cx.waker().clone());
        match port.down {
            true => LinkState::Down,
            false => LinkState::Up,
        }
    }

    fn capabilities(&self) -> Capabilities {
        let mut capabilities = Capabilities::default();
        capabilities.max_transmission_unit = 1514;
        capabilities
    }

    fn hardware_address(&self) -> HardwareAddress {
        HardwareAddress::Ethernet([2, 0, 0, 0, 0, self.at as u8 + 1])
    }
}

/// How the name server answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dns {
    Says(Ipv4Addr),
    NoSuchName,
    Silent,
}

/// What a machine with a broker does to its connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    Reset,
    Close,
}

/// A machine with a broker on port 1883.
pub struct Machine {
    pub broker: RefCell<Broker>,
    order: Cell<Option<Order>>,
}

/// The device is at port 0 of the hub, two machines with brokers and a name
/// server are at the next ones.
pub struct Lan {
    hub: Rc<RefCell<Hub>>,
    pub stack: Stack<'static>,
    pub machines: [Machine; 2],
    pub dns: Cell<Dns>,
    pub queries: Cell<u32>,
}

/// The address of a machine, or of what does not exist.
pub const fn address(machine: usize) -> Ipv4Addr {
    Ipv4Addr::new(10, 0, 0, machine as u8 + 2)
}

const NAME_SERVER: usize = 2;

impl Lan {
    /// Loses what a port sends, what it is sent, or both.
    fn lose(&self, at: usize, from: bool, to: bool) {
        let port = &mut self.hub.borrow_mut().0[at];
        port.mute = from;
        port.deaf = to;
    }

    /// Loses what the device sends, what it is sent, or both, without a word.
    pub fn lose_device(&self, from: bool, to: bool) {
        self.lose(0, from, to);
    }

    /// The machine is switched off, or on again.
    pub fn switch_machine(&self, machine: usize, off: bool) {
        self.lose(machine + 1, off, off);
    }

    /// The device loses its network and knows it.
    pub fn set_down(&self, down: bool) {
        let port = &mut self.hub.borrow_mut().0[0];
        port.down = down;
        if let Some(waker) = port.waker.take() {
            waker.wake();
        }
    }

    /// Does this to the connections of the machine.
    pub fn order(&self, machine: usize, order: Order) {
        self.machines[machine].order.set(Some(order));
    }
}

fn stack(hub: &Rc<RefCell<Hub>>, address: Ipv4Addr) -> (Stack<'static>, Runner<'static, Card>) {
    let at = hub.borrow().0.len();
    hub.borrow_mut().0.push(Port::default());
    let mut config = StaticConfigV4 {
        address: Ipv4Cidr::new(address, 24),
        gateway: None,
        dns_servers: Default::default(),
    };
    config.dns_servers.push(self::address(NAME_SERVER)).unwrap();
    embassy_net::new(
        Card {
            hub: hub.clone(),
            at,
        },
        embassy_net::Config::ipv4_static(config),
        Box::leak(Box::new(StackResources::<8>::new())),
        at as u64,
    )
}

/// One connection after the other, to a broker.
async fn serve(stack: Stack<'static>, machine: &Machine) {
    let (mut receive, mut transmit) = ([0; 2048], [0; 2048]);
    loop {
        let mut socket = TcpSocket::new(stack, &mut receive, &mut transmit);
        if socket.accept(1883).await.is_err() {
            continue;
        }
        let conn = machine.broker.borrow_mut().open(now());
        let mut buf = [0; 512];
        loop {
            let output = machine.broker.borrow_mut().output(conn);
            let mut left = &output[..];
            while !left.is_empty() {
                // A client that has vanished takes nothing more.
                match select(socket.write(left), Timer::after(Duration::from_secs(30))).await {
                    Either::First(Ok(len)) => left = &left[len..],
                    _ => break,
                }
            }
            match machine.order.take() {
                Some(Order::Reset) => {
                    socket.abort();
                    let _ = socket.flush().await;
                    break;
                }
                Some(Order::Close) => socket.close(),
                None => {}
            }
            if !left.is_empty() || machine.broker.borrow().is_closed(conn) {
                socket.close();
                break;
            }
            match select(
                socket.read(&mut buf),
                Timer::after(Duration::from_millis(10)),
            )
            .await
            {
                Either::First(Ok(0) | Err(_)) => break,
                Either::First(Ok(len)) => {
                    machine
                        .broker
                        .borrow_mut()
                        .receive(conn, &buf[..len], now());
                }
                Either::Second(()) => machine.broker.borrow_mut().tick(now()),
            }
        }
        machine.broker.borrow_mut().closed(conn, now());
        // The last bytes, and FIN, go out before the socket does.
        let _ = select(socket.flush(), Timer::after(Duration::from_secs(1))).await;
    }
}

async fn answer_names(stack: Stack<'static>, lan: &Lan) {
    let mut meta = [[PacketMetadata::EMPTY; 4]; 2];
    let mut buffers = [[0; 1024]; 2];
    let [rx_meta, tx_meta] = &mut meta;
    let [rx, tx] = &mut buffers;
    let mut socket = UdpSocket::new(stack, rx_meta, rx, tx_meta, tx);
    socket.bind(53).unwrap();
    let mut buf = [0; 512];
    loop {
        let (len, from) = socket.recv_from(&mut buf).await.unwrap();
        lan.queries.set(lan.queries.get() + 1);
        // A name takes a while.
        Timer::after(Duration::from_millis(50)).await;
        let mut answer = buf[..len].to_vec();
        match lan.dns.get() {
            Dns::Says(address) => {
                answer[2..12].copy_from_slice(&[0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0]);
                answer.extend([0xc0, 0x0c, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
                answer.extend(address.octets());
            }
            Dns::NoSuchName => {
                answer[2..12].copy_from_slice(&[0x81, 0x83, 0, 1, 0, 0, 0, 0, 0, 0]);
            }
            Dns::Silent => continue,
        }
        let _ = socket.send_to(&answer, from).await;
    }
}

/// Runs a test in such a network.
pub fn lan<R>(test: impl AsyncFnOnce(&Lan) -> R) -> R {
    let hub = Rc::new(RefCell::new(Hub::default()));
    let (device, mut device_runner) = stack(&hub, Ipv4Addr::new(10, 0, 0, 1));
    let (a, mut a_runner) = stack(&hub, address(0));
    let (b, mut b_runner) = stack(&hub, address(1));
    let (names, mut names_runner) = stack(&hub, address(NAME_SERVER));
    let machine = || Machine {
        broker: RefCell::new(Broker::new(Config::default())),
        order: Cell::new(None),
    };
    let lan = Lan {
        hub,
        stack: device,
        machines: [machine(), machine()],
        dns: Cell::new(Dns::NoSuchName),
        queries: Cell::new(0),
    };
    let mut result = None;
    let mut tasks: Vec<Task<'_>> = vec![
        Box::pin(async {
            device.wait_link_up().await;
            device.wait_config_up().await;
            result = Some(test(&lan).await);
        }),
        Box::pin(async move { device_runner.run().await }),
        Box::pin(async move { a_runner.run().await }),
        Box::pin(async move { b_runner.run().await }),
        Box::pin(async move { names_runner.run().await }),
        Box::pin(answer_names(names, &lan)),
    ];
    // Several connections at once: what hangs must not keep others out.
    for _ in 0..3 {
        tasks.push(Box::pin(serve(a, &lan.machines[0])));
        tasks.push(Box::pin(serve(b, &lan.machines[1])));
    }
    run(tasks);
    result.expect("the test has ended")
}
