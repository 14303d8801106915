//! A panel that is absent, unplugged, stuck, or without power for a moment.

use std::cell::Cell;
use std::future::pending;
use std::pin::pin;
use std::task::Poll;

use aldis_device::screen::{
    Light, Message, Page, Panel, Rotation, Status, Step, Unreachable, View, Wifi,
};
use aldis_mqtt::Instant;
use aldis_panel::{Ssd1306, Wired};
use embassy_futures::{block_on, poll_once, yield_now};
use embedded_hal_async::i2c::{ErrorType, I2c, Operation};

use crate::rig::{Rig, now};

type Driver<'a> = Panel<Wired<'a>>;

fn view(text: &str) -> View<'_> {
    View {
        page: Page::Message(Message {
            from: "hall",
            text,
            age_ms: 5_000,
            number: 1,
            count: 2,
            high: false,
            read: false,
            shown_ms: 0,
        }),
        status: Status {
            wifi: Wifi::Joined(-70),
            broker: true,
            delivered_ms: Some(1_000),
            lamp: None,
            unread: 1,
        },
        uptime_ms: 0,
        awake_ms: 0,
    }
}

#[test]
fn a_panel_that_is_absent_and_plugged_in_later() {
    let rig = Rig::new();
    rig.draw(&view("nobody sees this"));
    let panel = &mut rig.panel();
    rig.model.borrow_mut().unplug();
    for turn in 0..5 {
        assert_eq!(rig.step(panel, now(turn * 1_000)), Err(Unreachable));
    }
    rig.draw(&view("but this"));
    rig.model.borrow_mut().replug();
    rig.settle(panel, now(5_000));
    rig.assert_shown();
}

#[test]
fn the_address_and_the_rotation() {
    let rig = Rig::new();
    rig.draw(&view("upside down"));
    *rig.model.borrow_mut() = Ssd1306::at(0x3D);
    assert_eq!(rig.step(&mut rig.panel(), now(0)), Err(Unreachable));
    let panel = &mut Panel::new(Wired(&rig.model), 0x3D, Rotation::Half);
    rig.settle(panel, now(0));
    assert!(rig.seen() == rig.wanted().rotated_180());
}

/// A panel is unplugged after each byte of a drawing, and plugged in again. After the
/// last one no error tells; then the next refresh finds it.
#[test]
fn unplugged_at_every_byte() {
    let (first, second) = (
        view("one picture"),
        view("and quite another, with more lines of text"),
    );
    let mut bytes = 0;
    loop {
        let rig = Rig::new();
        let panel = &mut rig.panel();
        rig.draw(&first);
        // Before the first picture, too.
        rig.model.borrow_mut().unplug_after(bytes);
        let failed = drive_until_error(&rig, panel);
        rig.draw(&second);
        rig.model.borrow_mut().replug();
        rig.settle(panel, now(Driver::REFRESH_MS.into()));
        rig.assert_shown();
        if !failed {
            break;
        }
        bytes += 1;
    }
    assert!(bytes > 1_100, "{bytes} bytes are no picture");

    let mut bytes = 0;
    loop {
        let rig = Rig::new();
        let panel = &mut rig.panel();
        rig.draw(&first);
        rig.settle(panel, now(0));
        // While one picture becomes another.
        rig.draw(&second);
        rig.model.borrow_mut().unplug_after(bytes);
        let failed = drive_until_error(&rig, panel);
        rig.model.borrow_mut().replug();
        rig.settle(panel, now(Driver::REFRESH_MS.into()));
        rig.assert_shown();
        if !failed {
            break;
        }
        bytes += 1;
    }
    assert!(bytes > 100, "{bytes} bytes are no difference");
}

fn drive_until_error(rig: &Rig, panel: &mut Driver<'_>) -> bool {
    loop {
        match rig.step(panel, now(0)) {
            Ok(Step::Sent) => {}
            Ok(Step::Idle(_)) => return false,
            Err(Unreachable) => return true,
        }
    }
}

#[test]
fn a_bus_held_low() {
    let rig = Rig::new();
    let panel = &mut rig.panel();
    rig.draw(&view("before"));
    rig.settle(panel, now(0));
    rig.model.borrow_mut().hold_low(true);
    rig.draw(&view("after"));
    for turn in 0..3 {
        assert_eq!(rig.step(panel, now(turn * 1_000)), Err(Unreachable));
    }
    rig.model.borrow_mut().hold_low(false);
    rig.settle(panel, now(3_000));
    rig.assert_shown();
}

/// A bus that hangs after so many transfers.
struct Hanging<'a> {
    wired: Wired<'a>,
    left: &'a Cell<u32>,
}

impl ErrorType for Hanging<'_> {
    type Error = aldis_panel::Error;
}

impl I2c for Hanging<'_> {
    async fn transaction(
        &mut self,
        address: u8,
        operations: &mut [Operation<'_>],
    ) -> Result<(), aldis_panel::Error> {
        match self.left.get().checked_sub(1) {
            Some(left) => self.left.set(left),
            None => pending().await,
        }
        self.wired.transaction(address, operations).await
    }
}

/// The caller gives up waiting at each transfer of a picture in turn. What was sent and
/// not confirmed is not taken for shown, and the frame is free meanwhile.
#[test]
fn a_step_that_is_dropped_in_the_middle() {
    for transfers in 0.. {
        let rig = Rig::new();
        let left = Cell::new(transfers);
        let bus = Hanging {
            wired: Wired(&rig.model),
            left: &left,
        };
        let mut panel = Panel::new(bus, Driver::ADDRESS, Rotation::Upright);
        rig.draw(&view("before"));
        let hung = loop {
            let mut step = pin!(panel.step(&rig.frame, now(0)));
            match poll_once(step.as_mut()) {
                Poll::Pending => {
                    // Nobody holds the frame.
                    rig.draw(&view("after"));
                    break true;
                }
                Poll::Ready(Ok(Step::Sent)) => {}
                Poll::Ready(Ok(Step::Idle(_))) => break false,
                Poll::Ready(Err(error)) => panic!("{error}"),
            }
        };
        // The bus is free again, and the panel has lost its power meanwhile.
        left.set(u32::MAX);
        if !hung {
            assert!(transfers > 80, "{transfers} transfers are no picture");
            break;
        }
        rig.model.borrow_mut().power_cycle();
        let mut steps = 0;
        while block_on(panel.step(&rig.frame, now(1))) == Ok(Step::Sent) {
            steps += 1;
            assert!(steps < 100, "it has always something to send");
        }
        rig.assert_shown();
    }
}

/// It had no power for a moment in which nothing was sent, so no error told.
#[test]
fn a_power_cut_that_nobody_noticed_is_mended_within_seconds() {
    let rig = Rig::new();
    let panel = &mut rig.panel();
    rig.draw(&view("here"));
    rig.settle(panel, now(0));
    rig.model.borrow_mut().power_cycle();
    let Ok(Step::Idle(due)) = rig.step(panel, now(1)) else {
        panic!("there is nothing to send");
    };
    assert_eq!(due, now(u64::from(Driver::REFRESH_MS)));
    rig.settle(panel, due);
    rig.assert_shown();
}

/// The panel is told everything anew without going dark.
#[test]
fn a_refresh_is_not_seen() {
    let rig = Rig::new();
    let panel = &mut rig.panel();
    rig.draw(&view("here"));
    rig.settle(panel, now(0));
    let mut steps = 0;
    while rig.step(panel, now(60_000)) == Ok(Step::Sent) {
        rig.assert_shown();
        steps += 1;
    }
    assert_eq!(steps, 10, "set-up, eight pages, light");
}

/// Another program has left the panel in a state of its own, and was cut off in the
/// middle of a command.
#[test]
fn what_others_have_left_is_not_seen() {
    let left: &[&[u8]] = &[
        &[0x8D, 0x14, 0xAF],
        &[0xA7, 0xA5, 0x40 | 17, 0xD3, 9, 0xA8, 31, 0xDA, 0x02],
        &[0x20, 0x01, 0x21, 5, 9, 0x22, 1, 2],
        &[0x27, 0, 0, 0, 7, 0, 0xFF, 0x2F],
    ];
    for cut in [
        0x20, 0x21, 0x22, 0x26, 0x29, 0x81, 0x8D, 0xA3, 0xA8, 0xD3, 0xD5, 0xD9, 0xDA, 0xDB,
    ] {
        let rig = Rig::new();
        let mut bus = Wired(&rig.model);
        for commands in left.iter().copied().chain([[cut].as_slice()]) {
            let bytes = [&[0x00], commands].concat();
            block_on(bus.write(Ssd1306::ADDRESS, &bytes)).expect("it is there");
        }
        assert!(rig.model.borrow().awaits().is_some(), "{cut:02x}");
        rig.model.borrow_mut().take_bus_bits();
        rig.draw(&view("here"));
        rig.settle(&mut rig.panel(), now(0));
        assert!(rig.seen() == rig.wanted(), "{cut:02x}:\n{}", rig.seen());
        assert!(!rig.model.borrow().scrolling(), "{cut:02x}");
    }
}

/// A bus that lets others go on at each transfer.
struct Leisurely<'a>(Wired<'a>);

impl ErrorType for Leisurely<'_> {
    type Error = aldis_panel::Error;
}

impl I2c for Leisurely<'_> {
    async fn transaction(
        &mut self,
        address: u8,
        operations: &mut [Operation<'_>],
    ) -> Result<(), aldis_panel::Error> {
        yield_now().await;
        self.0.transaction(address, operations).await
    }
}

/// What is drawn while a transfer is under way is shown as well, and what was under way
/// is not taken for it.
#[test]
fn drawn_while_a_transfer_is_under_way() {
    let rig = Rig::new();
    let mut panel = Panel::new(
        Leisurely(Wired(&rig.model)),
        Driver::ADDRESS,
        Rotation::Upright,
    );
    let (mut drawings, mut steps) = (0, 0);
    loop {
        let mut step = pin!(panel.step(&rig.frame, now(0)));
        let step = loop {
            match poll_once(step.as_mut()) {
                Poll::Ready(step) => break step.expect("it is there"),
                Poll::Pending if drawings < 500 => {
                    drawings += 1;
                    rig.draw(&view(&format!("{drawings} {}", drawings * 7_919 % 1_000)));
                }
                Poll::Pending => {}
            }
        };
        if let Step::Idle(_) = step {
            break;
        }
        steps += 1;
        assert!(steps < 1_000, "it has always something to send");
    }
    assert_eq!(drawings, 500);
    rig.assert_shown();
}

/// Random drawings, lights, pauses and faults: when the panel is there and everything
/// was sent, a person sees the picture.
#[test]
fn whatever_happens_the_panel_shows_the_picture_in_the_end() {
    let (first, runs) = match number("ALDIS_SCREEN_SEED") {
        Some(seed) => (seed, 1),
        None => (0, number("ALDIS_SCREEN_RUNS").unwrap_or(60)),
    };
    for seed in first..first + runs {
        println!("repeat with ALDIS_SCREEN_SEED={seed}");
        wild(seed);
    }
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

fn wild(seed: u64) {
    let mut random = fastrand::Rng::with_seed(seed);
    let rig = Rig::new();
    let panel = &mut rig.panel();
    let mut at = 0;
    for _ in 0..60 {
        // Something happens to the picture, or to the panel.
        match random.u8(..10) {
            0..4 => {
                let text: String = (0..random.usize(..200))
                    .map(|_| random.char(' '..'ž'))
                    .collect();
                rig.draw(&View {
                    uptime_ms: random.u64(..1_000_000),
                    awake_ms: random.u64(..120_000),
                    ..view(&text)
                });
            }
            4 => rig.frame.borrow_mut().set_light(Light::Off),
            5 => rig.model.borrow_mut().unplug_after(random.u32(..1_500)),
            6 => rig.model.borrow_mut().hold_low(random.bool()),
            7 => rig.model.borrow_mut().replug(),
            8 => at += random.u64(..10_000),
            _ => {}
        }
        for _ in 0..random.u8(..20) {
            // Whatever it says.
            let _step = rig.step(panel, now(at));
        }
        if random.u8(..5) == 0 {
            calm(&rig, panel, &mut at);
        }
    }
    calm(&rig, panel, &mut at);
}

/// All is mended; at the latest after a refresh it is shown.
fn calm(rig: &Rig, panel: &mut Driver<'_>, at: &mut u64) {
    rig.model.borrow_mut().hold_low(false);
    rig.model.borrow_mut().replug();
    *at += u64::from(Driver::REFRESH_MS);
    let at = Instant::from_millis(*at);
    for _ in 0..2 {
        // The first error is that of a panel that was unplugged.
        let _step = rig.step(panel, at);
    }
    rig.settle(panel, at);
    if rig.frame.borrow().light() == Light::Off {
        assert!(!rig.model.borrow().is_on());
    } else {
        rig.assert_shown();
    }
}
