//! Any text can be drawn, and the texts of three languages are drawn whole.

use aldis_device::screen::text::{Font, fit, width, wrap};
use aldis_device::screen::{Message, Morse, Notice, Page, Presets, Status, View};
use proptest::prelude::*;

use crate::rig::Rig;

const LITHUANIAN: &str = "AĄBCČDEĘĖFGHIĮYJKLMNOPRSŠTUŲŪVZŽaąbcčdeęėfghiįyjklmnoprsštuųūvzž";
const GERMAN: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÜabcdefghijklmnopqrstuvwxyzäöüß";
const POLISH: &str = "AĄBCĆDEĘFGHIJKLŁMNŃOÓPRSŚTUWYZŹŻaąbcćdeęfghijklłmnńoóprsśtuwyzźż";
const OTHERS: &str = "0123456789.,:;!?'\"()[]{}<>+-*/=%&@#$~^_|\\ €°§«»×÷±µ²³½ÀÉÎÕŐŘĞ";

#[test]
fn every_letter_of_the_alphabets_has_a_glyph() {
    for font in [Font::Small, Font::Large] {
        for c in [LITHUANIAN, GERMAN, POLISH, OTHERS]
            .into_iter()
            .flat_map(str::chars)
        {
            assert!(font.has(c), "{c} in {font:?}");
        }
        assert!(!font.has('\0') && !font.has('\u{7}') && !font.has('你'));
    }
}

/// What a text looks like.
fn drawn(text: &str) -> aldis_panel::Picture {
    let rig = Rig::new();
    rig.draw(&page(Page::Notice(Notice { title: "T", text })));
    rig.wanted()
}

const fn page(page: Page<'_>) -> View<'_> {
    View {
        page,
        status: Status {
            wifi: aldis_device::screen::Wifi::Absent,
            broker: true,
            delivered_ms: None,
            lamp: None,
            unread: 0,
        },
        uptime_ms: 0,
        awake_ms: 0,
    }
}

#[test]
fn what_cannot_be_shown_is_marked() {
    let mark = drawn("x\u{7}");
    for c in [
        '\0', '\r', '\u{1b}', '\u{7f}', '\u{9b}', '你', '😀', '\u{301}',
    ] {
        assert!(drawn(&format!("x{c}")) == mark, "{:?}", c);
    }
    for c in [LITHUANIAN, GERMAN, POLISH, "ẞ"]
        .into_iter()
        .flat_map(str::chars)
    {
        assert!(drawn(&format!("x{c}")) != mark, "{c}");
    }
}

#[test]
fn letters_in_two_parts_are_one() {
    for (parts, whole) in [
        ("e\u{307}", "ė"),
        ("s\u{30C}", "š"),
        ("U\u{304}", "Ū"),
        ("i\u{328}", "į"),
        ("u\u{308}", "ü"),
        ("n\u{301}", "ń"),
        ("Z\u{307}", "Ż"),
    ] {
        assert!(drawn(parts) == drawn(whole), "{whole}");
        assert_eq!(width(Font::Large, parts), width(Font::Large, whole));
    }
}

#[test]
fn typographic_signs_are_drawn_as_plain_ones() {
    assert!(drawn("„Ja“ — it’s\u{a0}5") == drawn("\"Ja\" - it's 5"));
    assert!(drawn("a\u{ad}b\u{200b}c\u{feff}") == drawn("abc"));
    assert!(drawn("one\r\ntwo") == drawn("one\ntwo"));
}

fn lines(text: &str, width: usize) -> Vec<&str> {
    wrap(Font::Small, text, width).collect()
}

#[test]
fn lines_break_where_they_may() {
    let wide = |text| width(Font::Small, text);
    assert_eq!(
        lines("one two three", wide("one two")),
        ["one two", "three"]
    );
    assert_eq!(
        lines("one two three", wide("one two") - 1),
        ["one", "two", "three"]
    );
    assert_eq!(lines("one   one", wide("one")), ["one", "one"]);
    assert_eq!(lines("one\n\n two\n", 126), ["one", "", " two"]);
    assert_eq!(lines("well-known", wide("known")), ["well-", "known"]);
    assert_eq!(lines("at -40 it", wide("at -4")), ["at", "-40", "it"]);
    assert_eq!(lines("abcdef", wide("abc")), ["abc", "def"]);
    assert_eq!(lines("x abcdef", wide("abc")), ["x", "abc", "def"]);
    assert_eq!(lines("a\u{a0}b c", wide("a b")), ["a\u{a0}b", "c"]);
    assert_eq!(lines("", 126), [""; 0]);
    assert_eq!(lines("   ", 126), [""]);
    assert_eq!(lines("wide", 0), ["w", "i", "d", "e"]);
}

#[test]
fn what_is_too_long_makes_room_for_an_ellipsis() {
    let wide = |text| width(Font::Small, text);
    assert_eq!(fit(Font::Small, "hall", wide("hall")), ("hall", false));
    assert_eq!(
        fit(Font::Small, "hall", wide("hal…")),
        ("hall", false),
        "no wider"
    );
    assert_eq!(fit(Font::Small, "hallway", wide("hall…")), ("hall", true));
    assert_eq!(fit(Font::Small, "hall way", wide("hall …")), ("hall", true));
    assert_eq!(fit(Font::Small, "hall", 0), ("", true));
    assert_eq!(fit(Font::Small, "", 0), ("", false));
}

/// Texts with everything in them that could go wrong.
fn any_text() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        "[a-zA-ZąčęėįšųūžŚß \n\t\r-]{0,300}",
        proptest::collection::vec(
            prop_oneof![
                Just(' '),
                Just('\n'),
                Just('-'),
                Just('e'),
                Just('\u{307}'),
                Just('\u{200d}'),
                Just('…'),
                Just('W'),
                any::<char>()
            ],
            0..300
        )
        .prop_map(|chars| chars.into_iter().collect()),
    ]
}

proptest! {
    #[test]
    fn nothing_of_a_text_is_lost_in_lines(text in any_text(), room in 0_usize..140) {
        let lines: Vec<&str> = wrap(Font::Small, &text, room).collect();
        let bare = |text: &str| -> String {
            text.chars().filter(|c| !c.is_whitespace()).collect()
        };
        prop_assert_eq!(bare(&lines.concat()), bare(&text));
        for line in lines {
            let one = line.chars().filter(|&c| width(Font::Small, c.encode_utf8(&mut [0; 4])) > 0).count();
            prop_assert!(width(Font::Small, line) <= room || one <= 2, "{:?}", line);
        }
    }

    #[test]
    fn what_fits_fits(text in any_text(), room in 0_usize..140) {
        for font in [Font::Small, Font::Large] {
            let (kept, cut) = fit(font, &text, room);
            prop_assert!(text.starts_with(kept));
            prop_assert_eq!(cut, width(font, &text) > room);
            let ellipsis = if cut { width(font, "…") } else { 0 };
            prop_assert!(width(font, kept) + ellipsis <= room || kept.is_empty());
        }
    }

    #[test]
    fn any_text_can_be_drawn_on_any_page(text in any_text(), other in any_text(), ms in any::<u64>()) {
        let rig = Rig::new();
        for shown in [
            Page::Message(Message {
                from: &other,
                text: &text,
                age_ms: ms,
                number: u16::MAX,
                count: u16::MAX,
                high: true,
                read: true,
                shown_ms: ms,
            }),
            Page::Notice(Notice { title: &other, text: &text }),
            Page::Presets(Presets { to: &other, texts: &[&text, &other], selected: 1 }),
            Page::Morse(Morse { text: &text, keyed: &other, wpm: Some(255) }),
        ] {
            let due = rig.draw(&View { uptime_ms: ms, awake_ms: ms, ..page(shown) });
            prop_assert!(due > crate::rig::now(0));
        }
    }
}
