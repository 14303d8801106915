//! Every page as a person sees it. `ALDIS_GOLDEN=write` draws the pictures anew.

use std::net::Ipv4Addr;
use std::path::Path;

use aldis_device::screen::{
    Boot, Contact, Message, Morse, Notice, Page, Presets, Readings, Status, View, Waiting, Wifi,
};
use aldis_mqtt::Instant;
use aldis_panel::{Picture, assert_golden};
use aldis_protocol::{Lamp, Reading, SensorState};

use crate::rig::{Rig, now};

const MINUTE: u64 = 60_000;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

const STATUS: Status = Status {
    wifi: Wifi::Joined(-61),
    broker: true,
    delivered_ms: Some(4_000),
    lamp: Some(Lamp::Off),
    unread: 0,
};

const fn view(page: Page<'_>) -> View<'_> {
    View {
        page,
        status: STATUS,
        uptime_ms: 0,
        awake_ms: 0,
    }
}

fn picture(view: &View<'_>) -> Picture {
    let rig = Rig::new();
    rig.draw(view);
    rig.settle(&mut rig.panel(), now(0));
    rig.assert_shown();
    rig.seen()
}

/// A picture for the documentation.
#[track_caller]
fn documented(name: &str, view: &View<'_>) {
    golden(Path::new("../docs/screens"), name, view);
}

/// A picture for the tests alone.
#[track_caller]
fn variant(name: &str, view: &View<'_>) {
    golden(Path::new("tests/screen/golden"), name, view);
}

#[track_caller]
fn golden(folder: &Path, name: &str, view: &View<'_>) {
    assert_golden(folder.join(name).with_extension("png"), &picture(view));
    nothing_is_cut(view);
}

/// Wherever the shift puts it, it is the same picture, and all of it.
#[track_caller]
fn nothing_is_cut(view: &View<'_>) {
    let at = |minute: u64| {
        let view = View {
            // In this hour, the uptime that is written somewhere stays the same.
            uptime_ms: 3 * DAY + 4 * HOUR + minute * MINUTE,
            ..*view
        };
        picture(&view)
    };
    // The seventh place is the corner.
    let (corner, mut places) = (at(6), std::collections::BTreeSet::new());
    for minute in 0..16 {
        let moved = at(minute);
        let (dx, dy) = (0..3)
            .flat_map(|dx| (0..3).map(move |dy| (dx, dy)))
            .find(|&(dx, dy)| {
                moved == Picture::from_fn(|x, y| x >= dx && y >= dy && corner.get(x - dx, y - dy))
            })
            .unwrap_or_else(|| panic!("minute {minute} is another picture:\n{moved}\n{corner}"));
        places.insert((dx, dy));
    }
    assert_eq!(places.len(), 9, "{places:?}");
}

const fn readings(t: i16, h: u16) -> Page<'static> {
    Page::Readings(Readings {
        reading: Some(Reading { t, h }),
        sensor: Some(SensorState::Ok),
    })
}

#[test]
fn readings_in_large_digits() {
    documented("readings", &view(readings(241, 465)));
    variant("readings-cold", &view(readings(-400, 1000)));
    variant("readings-hot", &view(readings(800, 0)));
    variant("readings-near-zero", &view(readings(-5, 99)));
}

#[test]
fn readings_of_a_sensor_that_does_not_answer() {
    let sensor = |sensor| {
        view(Page::Readings(Readings {
            reading: Some(Reading { t: 241, h: 465 }),
            sensor,
        }))
    };
    documented("readings-missing", &sensor(Some(SensorState::Missing)));
    variant("readings-stale", &sensor(Some(SensorState::Stale)));
    variant(
        "readings-none-yet",
        &view(Page::Readings(Readings::default())),
    );
}

#[test]
fn what_the_status_bar_says() {
    let bar = |status| View {
        status,
        ..view(readings(215, 520))
    };
    documented(
        "status-lamp-and-unread",
        &bar(Status {
            wifi: Wifi::Joined(-50),
            lamp: Some(Lamp::On),
            delivered_ms: Some(3 * HOUR),
            unread: 3,
            ..STATUS
        }),
    );
    documented(
        "status-no-contact",
        &bar(Status {
            wifi: Wifi::Lost,
            broker: false,
            delivered_ms: Some(12 * MINUTE),
            ..STATUS
        }),
    );
    variant(
        "status-no-radio",
        &bar(Status {
            wifi: Wifi::Absent,
            lamp: None,
            delivered_ms: None,
            ..STATUS
        }),
    );
    variant(
        "status-many-unread",
        &bar(Status {
            wifi: Wifi::Joined(-90),
            broker: false,
            lamp: Some(Lamp::On),
            delivered_ms: Some(2_000 * DAY),
            unread: 12_345,
        }),
    );
}

const fn boot(waiting: Waiting<'_>, address: Option<Ipv4Addr>) -> View<'_> {
    view(Page::Boot(Boot {
        version: "0.1.0",
        id: "kitchen",
        address,
        waiting,
    }))
}

const ADDRESS: Ipv4Addr = Ipv4Addr::new(192, 168, 1, 137);

#[test]
fn a_start_says_what_it_waits_for() {
    documented("boot-wifi", &boot(Waiting::Wifi("home"), None));
    variant("boot-address", &boot(Waiting::Address, None));
    documented(
        "boot-broker",
        &boot(Waiting::Broker("broker.local:1883"), Some(ADDRESS)),
    );
    variant("boot-ready", &boot(Waiting::Nothing, Some(ADDRESS)));
    let long = view(Page::Boot(Boot {
        version: "12.34.56-beta.7+20261231",
        id: "kitchen-on-the-second-floor-behind-the-door",
        address: Some(Ipv4Addr::new(255, 255, 255, 255)),
        waiting: Waiting::Wifi("Žalgirio arena: svečių tinklas 5"),
    }));
    variant("boot-long", &long);
}

#[test]
fn where_the_device_is() {
    let contact = Contact {
        id: "kitchen",
        version: "0.1.0",
        address: Some(ADDRESS),
        broker: "192.168.1.107",
        waiting: 0,
    };
    documented(
        "contact",
        &View {
            uptime_ms: 3 * DAY + 4 * HOUR,
            ..view(Page::Contact(contact))
        },
    );
    variant(
        "contact-lost",
        &View {
            status: Status {
                wifi: Wifi::Lost,
                broker: false,
                delivered_ms: Some(55 * MINUTE),
                ..STATUS
            },
            uptime_ms: 12 * MINUTE + 5_000,
            ..view(Page::Contact(Contact {
                id: "esp32-246f28a1b2c4-in-the-kitchen",
                version: "12.34.56-beta.7",
                address: None,
                broker: "a-broker-with-a-long-name.example.com",
                waiting: 512,
            }))
        },
    );
}

const fn message(text: &str) -> Message<'_> {
    Message {
        from: "hall",
        text,
        age_ms: 3 * MINUTE,
        number: 1,
        count: 1,
        high: false,
        read: false,
        shown_ms: 0,
    }
}

const LONG: &str = "The parcel is with the neighbours on the second floor, \
    they are home until eight. Please fetch it, and take the keys along: \
    the front door has been locked since this morning.";

#[test]
fn a_message() {
    documented(
        "message",
        &view(Page::Message(message("Dinner is ready, come down!"))),
    );
    documented("message-large", &view(Page::Message(message("Coming"))));
    documented(
        "message-high",
        &view(Page::Message(Message {
            from: "cellar",
            high: true,
            age_ms: 12_000,
            number: 2,
            count: 5,
            ..message("Water on the floor! Close the main valve.")
        })),
    );
    variant(
        "message-read",
        &view(Page::Message(Message {
            read: true,
            from: "a-device-with-a-long-name-on-the-second-floor",
            age_ms: 2 * DAY,
            number: 16,
            count: 16,
            ..message("First line\n  second, set in\n\nfourth")
        })),
    );
    variant(
        "message-from-nobody",
        &view(Page::Message(Message {
            from: "",
            ..message("")
        })),
    );
}

#[test]
fn a_long_message_scrolls() {
    let at = |shown_ms| {
        view(Page::Message(Message {
            shown_ms,
            ..message(LONG)
        }))
    };
    documented("message-long", &at(0));
    variant("message-long-middle", &at(4_000 + 2_000));
    variant("message-long-end", &at(13_000));
}

/// Followed by its own deadlines alone, a long message shows every line, the first and
/// the last ones for longest, and begins again.
#[test]
fn a_long_message_is_seen_whole() {
    let rig = Rig::new();
    let mut shown_ms = 0;
    let mut pictures: Vec<(Picture, u64)> = Vec::new();
    while shown_ms < 60_000 {
        let due = rig.draw(&View {
            // Ages that do not change meanwhile.
            status: Status {
                delivered_ms: Some(DAY),
                ..STATUS
            },
            ..view(Page::Message(Message {
                shown_ms,
                age_ms: DAY,
                ..message(LONG)
            }))
        });
        let lasts_ms = due.since(Instant::from_millis(0));
        pictures.push((rig.wanted(), lasts_ms));
        shown_ms += lasts_ms;
    }
    let (first, first_ms) = &pictures[0];
    let period = 1 + pictures[1..]
        .iter()
        .position(|(picture, _)| picture == first)
        .expect("it begins again");
    assert!(period >= 5, "{period} positions");
    assert_eq!((*first_ms, pictures[period - 1].1), (4_000, 4_000));
    assert!(pictures[1..period - 1].iter().all(|(_, ms)| *ms == 2_000));
    for (one, other) in pictures[..period].iter().zip(&pictures[1..]) {
        assert!(one.0 != other.0, "a deadline at which nothing changed");
    }
}

#[test]
fn messages_in_other_languages() {
    for (name, text) in [
        (
            "message-lithuanian",
            "Įlinkdama fechtuotojo špaga sublykčiojusi pragręžė",
        ),
        (
            "message-german",
            "Zwölf Boxkämpfer jagen Viktor quer über den großen Sylter Deich",
        ),
        ("message-polish", "Pchnąć w tę łódź jeża lub ośm skrzyń fig"),
        (
            "message-capitals",
            "ĄČĘĖĮŠŲŪŽ ÄÖÜẞ ĄĆĘŁŃÓŚŹŻ gjpqyĄĮŲ ŚŹŻ ČŠŽ ÄÖÜ Ó",
        ),
        ("message-large-diacritics", "Žąsys"),
        (
            "message-unshowable",
            "Hi \u{1F600} \u{4F60}\u{597D} \u{7}bell „so“ — it’s 5 €…",
        ),
        ("message-unshowable-large", "a\u{1F600}b"),
        (
            "message-one-long-word",
            "Donaudampfschifffahrtselektrizitätenhauptbetriebswerk",
        ),
    ] {
        variant(name, &view(Page::Message(message(text))));
    }
}

#[test]
fn presets_to_choose_from() {
    let texts = [
        "Coming",
        "In five minutes",
        "Yes",
        "No",
        "Call me on the telephone, please",
    ];
    let presets = |texts, selected| {
        view(Page::Presets(Presets {
            to: "hall",
            texts,
            selected,
        }))
    };
    documented("presets", &presets(&texts, 0));
    variant("presets-last", &presets(&texts, 4));
    variant("presets-middle", &presets(&texts, 2));
    variant("presets-two", &presets(&texts[..2], 1));
    variant("presets-none", &presets(&[], 7));
}

#[test]
fn what_happened() {
    let notice = |title, text| view(Page::Notice(Notice { title, text }));
    documented("notice-sent", &notice("Sent", "to hall: Coming"));
    documented(
        "notice-not-sent",
        &notice("Not sent", "no connection to the broker"),
    );
    variant("notice-alone", &notice("Goodbye", ""));
    variant(
        "notice-long",
        &notice(
            "Not sent",
            "hall did not answer within a minute; it is sent when it is back",
        ),
    );
}

#[test]
fn what_is_keyed() {
    let morse = |text, keyed, wpm| view(Page::Morse(Morse { text, keyed, wpm }));
    documented("morse", &morse("SOS", "--.-", Some(12)));
    variant("morse-begins", &morse("", ".", None));
    variant(
        "morse-long",
        &morse(
            "CQ CQ DE KITCHEN KITCHEN = DINNER IS READY COME DOWN AT ONCE",
            "..---",
            Some(25),
        ),
    );
}

/// The view after so many milliseconds in which nothing happened.
fn later<'a>(view: &View<'a>, ms: u64) -> View<'a> {
    let mut view = *view;
    view.uptime_ms += ms;
    view.awake_ms += ms;
    if let Some(delivered_ms) = &mut view.status.delivered_ms {
        *delivered_ms += ms;
    }
    if let Page::Message(message) = &mut view.page {
        message.age_ms += ms;
        message.shown_ms += ms;
    }
    view
}

/// Until the moment that drawing names, the picture stays what it is, and its light too:
/// who draws at these moments alone misses nothing.
#[test]
fn nothing_changes_before_its_deadline() {
    let seed = std::env::var("ALDIS_SCREEN_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok())
        .unwrap_or(7);
    println!("repeat with ALDIS_SCREEN_SEED={seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let pages = [
        boot(Waiting::Address, None).page,
        readings(241, 465),
        Page::Contact(Contact {
            id: "kitchen",
            version: "0.1.0",
            address: Some(ADDRESS),
            broker: "broker",
            waiting: 3,
        }),
        Page::Message(message(LONG)),
        Page::Message(message("Coming")),
        Page::Notice(Notice {
            title: "Sent",
            text: "",
        }),
    ];
    for _ in 0..300 {
        let page = pages[random.usize(..pages.len())];
        // Short and long times alike.
        let mut ms = || {
            let bits = random.u32(1..34);
            random.u64(..1 << bits)
        };
        let mut view = View {
            uptime_ms: ms(),
            awake_ms: ms(),
            ..view(page)
        };
        view.status.delivered_ms = Some(ms());
        if let Page::Message(message) = &mut view.page {
            message.age_ms = ms();
            message.shown_ms = ms();
        }
        let rig = Rig::new();
        let due_ms = rig.draw(&view).as_millis();
        let (before, light) = (rig.wanted(), rig.frame.borrow().light());
        for ms in [1, due_ms / 2, due_ms - 1] {
            if ms < due_ms {
                rig.draw(&later(&view, ms));
                assert!(rig.wanted() == before, "{view:?} after {ms} of {due_ms} ms");
                assert_eq!(rig.frame.borrow().light(), light, "{view:?}");
            }
        }
    }
}
