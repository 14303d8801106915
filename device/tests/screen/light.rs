//! How bright it is, and that it wears evenly.

use aldis_device::screen::{Light, Page, Readings, Screen, Status, Step, View};
use aldis_mqtt::Instant;

use crate::rig::{Rig, now};

const fn view(uptime_ms: u64, awake_ms: u64) -> View<'static> {
    View {
        page: Page::Readings(Readings {
            reading: None,
            sensor: None,
        }),
        status: Status {
            wifi: aldis_device::screen::Wifi::Absent,
            broker: true,
            delivered_ms: None,
            lamp: None,
            unread: 0,
        },
        uptime_ms,
        awake_ms,
    }
}

#[test]
fn it_is_dim_a_minute_after_the_last_wake_and_bright_again_after_the_next() {
    let rig = Rig::new();
    let panel = &mut rig.panel();
    for (awake_ms, light) in [
        (0, Light::Bright),
        (59_999, Light::Bright),
        (60_000, Light::Dim),
        (u64::MAX, Light::Dim),
        (5, Light::Bright),
    ] {
        rig.draw(&view(0, awake_ms));
        rig.settle(panel, now(0));
        rig.assert_shown();
        assert_eq!(
            rig.model.borrow().contrast(),
            light.contrast(),
            "{awake_ms}"
        );
    }
}

#[test]
fn it_is_dark_after_a_while_if_that_is_wanted() {
    let rig = Rig::new();
    let panel = &mut rig.panel();
    let screen = Screen::new(&rig.frame).dark_after(600_000);
    screen.draw(&view(0, 599_999), now(0));
    rig.settle(panel, now(0));
    rig.assert_shown();

    screen.draw(&view(0, 600_000), now(1));
    rig.settle(panel, now(1));
    assert!(!rig.model.borrow().is_on());
    assert_eq!(
        rig.step(panel, now(9_000_000)),
        Ok(Step::Idle(Instant::NEVER)),
        "a dark panel is left alone"
    );

    // It had no power meanwhile, and shows no noise when it is lit again.
    rig.model.borrow_mut().power_cycle();
    screen.draw(&view(0, 0), now(9_000_001));
    lit_only_when_whole(&rig, panel);
}

/// Steps until idle: whenever the panel is lit, it shows the picture.
fn lit_only_when_whole(rig: &Rig, panel: &mut aldis_device::screen::Panel<aldis_panel::Wired<'_>>) {
    while rig.step(panel, now(0)) == Ok(Step::Sent) {
        if rig.model.borrow().is_on() {
            rig.assert_shown();
        }
    }
    rig.assert_shown();
}

#[test]
fn noise_in_its_memory_is_never_seen() {
    let rig = Rig::new();
    rig.draw(&view(0, 0));
    lit_only_when_whole(&rig, &mut rig.panel());
}

/// What an earlier start has left on the panel is not shown as if it were now.
#[test]
fn a_restart_darkens_the_panel_until_it_has_the_picture() {
    let rig = Rig::new();
    rig.draw(&view(0, 0));
    rig.settle(&mut rig.panel(), now(0));
    rig.draw(&view(180_000, 0));
    lit_only_when_whole(&rig, &mut rig.panel());
}

#[test]
fn the_deadline_is_the_next_shift_or_change_of_light() {
    let rig = Rig::new();
    for (uptime_ms, awake_ms, due_ms) in [
        (0, 0, 60_000),
        (59_000, 0, 1_000),
        (120_001, 59_000, 1_000),
        (120_000, 60_000, 60_000),
        (u64::MAX, u64::MAX, 60_000 - u64::MAX % 60_000),
    ] {
        let due = rig.draw(&view(uptime_ms, awake_ms));
        assert_eq!(due, now(due_ms), "{uptime_ms} {awake_ms}");
    }
}
