//! The readout on terminals of all sizes, and the picture of it in the README.
//!
//! `cargo xtask picture` writes the files that are compared here.

use std::cell::RefCell;
use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use aldis_device::screen::{
    self as device, Frame, Message, Page, Panel, Rotation, Status, Step, View, Wifi,
};
use aldis_mqtt::{Cause, Instant, Network, Version};
use aldis_panel::Ssd1306;
use aldis_pc::Report;
use aldis_protocol::{Lamp, Reading, SensorState};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::{Buffer, Cell};
use ratatui::style::{Color, Modifier};

use super::model::Model;
use super::view::draw;
use crate::panel::Sight;
use crate::terminal::Looks;

const COLOUR: Looks = Looks {
    colour: true,
    unicode: true,
};
const MONOCHROME: Looks = Looks {
    colour: false,
    unicode: true,
};
const ASCII: Looks = Looks {
    colour: false,
    unicode: false,
};

/// A demo that has run for a while, told by a clock that the test sets.
fn scene() -> Model {
    let mut model = Model {
        hub: "127.0.0.1:1883".into(),
        device: "pc-desk".into(),
        commands: [
            "aldis sub -p 1883 -t testincr -v",
            "aldis pub -p 1883 -t output -m on -q 1",
            "aldis send -p 1883 pc-desk hello --wait read",
            "aldis device --broker mqtt://127.0.0.1:1883 --id demo-peer --screen",
            "mosquitto_sub -h 127.0.0.1 -p 1883 -t testincr",
            "mosquitto_pub -h 127.0.0.1 -p 1883 -t output -m on -q 1",
        ]
        .map(str::to_owned)
        .into(),
        ..Model::default()
    };
    let at = Duration::from_secs;
    model.report(at(0), &Report::Lamp(Lamp::Off));
    model.report(at(0), &Report::Connected(Version::V5));
    model.message(at(0), "aldis/pc-desk/status", b"online", false);
    model.report(at(1), &Report::Sensor(SensorState::Ok));
    for n in 0..48_u64 {
        let reading = Reading {
            t: [236, 237, 238, 240, 241, 242, 241, 240, 239, 238][(n as usize + 14) / 4 % 10],
            h: [262, 264, 265, 268, 270, 268, 267, 265][(n as usize + 12) / 6 % 8],
        };
        model.report(at(1 + 2 * n), &Report::Reading(reading));
    }
    model.report(at(97), &Report::Reading(Reading { t: 241, h: 265 }));
    model.message(at(84), "testincr", b"t=23.9C, h=26.4%.", false);
    model.message(
        at(84),
        "aldis/pc-desk/climate",
        br#"{"seq":17,"boot":1,"age_ms":0,"t":23.9,"h":26.4}"#,
        false,
    );
    model.message(at(88), "output", b"on", false);
    model.report(at(88), &Report::Lamp(Lamp::On));
    model.message(at(88), "aldis/pc-desk/led", b"on", false);
    model.message(at(94), "testincr", b"t=24.1C, h=26.5%.", false);
    model.message(
        at(94),
        "aldis/pc-desk/climate",
        br#"{"seq":18,"boot":1,"age_ms":0,"t":24.1,"h":26.5}"#,
        false,
    );
    let set = br#"{"id":"5bd1e995","from":"hall","text":"Dinner is ready, come down!"}"#;
    model.message(at(95), "aldis/pc-desk/message/set", set, false);
    let shown = br#"{"id":"5bd1e995","state":"shown","age_ms":0}"#;
    model.message(at(95), "aldis/pc-desk/message/state", shown, false);
    model.report(at(95), &Report::Light(Lamp::On));
    model.sight = panel("Dinner is ready, come down!");
    model.now = at(98);
    model
}

/// The device's panel with a message on it.
fn panel(text: &str) -> Sight {
    let frame = RefCell::new(Frame::new());
    let view = View {
        page: Page::Message(Message {
            from: "hall",
            text,
            age_ms: 3_000,
            number: 1,
            count: 1,
            high: false,
            read: false,
            shown_ms: 3_000,
        }),
        status: Status {
            wifi: Wifi::Absent,
            broker: true,
            delivered_ms: Some(4_000),
            lamp: Some(Lamp::On),
            unread: 1,
        },
        uptime_ms: 98_000,
        awake_ms: 3_000,
    };
    let mut ssd1306 = Ssd1306::new();
    let now = Instant::from_millis(0);
    device::Screen::new(&frame).draw(&view, now);
    let mut driver = Panel::new(&mut ssd1306, Ssd1306::ADDRESS, Rotation::Upright);
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    runtime
        .unwrap()
        .block_on(async { while let Step::Sent = driver.step(&frame, now).await.unwrap() {} });
    Sight::of(&ssd1306, false)
}

/// Where there is no room for all: the panel.
fn scene_with_panel() -> Model {
    Model {
        prefers_panel: true,
        ..scene()
    }
}

fn drawn(model: &Model, width: u16, height: u16, looks: Looks) -> Buffer {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| draw(frame, model, looks)).unwrap();
    terminal.backend().buffer().clone()
}

fn rows(buffer: &Buffer) -> impl Iterator<Item = &[Cell]> {
    buffer.content().chunks(usize::from(buffer.area().width))
}

fn text(buffer: &Buffer) -> String {
    let mut text = String::new();
    for row in rows(buffer) {
        let row: String = row.iter().map(Cell::symbol).collect();
        text.push_str(row.trim_end());
        text.push('\n');
    }
    text
}

fn in_repository(path: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/..")).join(path)
}

/// Compares with a file of the repository, or writes it.
fn assert_is_in(path: &str, actual: &str) {
    let file = in_repository(path);
    if std::env::var_os("ALDIS_WRITE_PICTURES").is_some() {
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, actual).unwrap();
        return;
    }
    let expected = fs::read_to_string(&file).unwrap_or_default();
    assert!(
        expected == actual,
        "{path} shows\n{expected}\nbut what is drawn is\n{actual}\nif that is right: \
         cargo xtask picture"
    );
}

/// Something is cut off or lost on a terminal of this size.
#[test]
fn the_readout_fits_any_terminal() {
    for (width, height) in [(80, 24), (40, 12), (20, 5), (120, 40), (130, 56)] {
        for (looks, name) in [(COLOUR, ""), (ASCII, "-ascii")] {
            let drawn = text(&drawn(&scene(), width, height, looks));
            let file = format!("aldis/src/demo/snapshots/{width}x{height}{name}.txt");
            assert_is_in(&file, &drawn);
        }
    }
    for (width, height) in [(80, 24), (64, 17)] {
        let drawn = text(&drawn(&scene_with_panel(), width, height, COLOUR));
        let file = format!("aldis/src/demo/snapshots/{width}x{height}-panel.txt");
        assert_is_in(&file, &drawn);
    }
}

/// NO_COLOR is not obeyed, or what colour says is not said otherwise.
#[test]
fn without_colour_the_text_is_the_same() {
    for (width, height) in [(80, 24), (40, 12), (20, 5), (120, 40)] {
        let colour = drawn(&scene(), width, height, COLOUR);
        let monochrome = drawn(&scene(), width, height, MONOCHROME);
        assert_eq!(text(&colour), text(&monochrome));
        let is_coloured = |cell: &Cell| cell.fg != Color::Reset || cell.bg != Color::Reset;
        assert!(!monochrome.content().iter().any(is_coloured));
        assert!(colour.content().iter().any(is_coloured));
    }
}

/// A terminal without Unicode would show question marks.
#[test]
fn ascii_is_ascii() {
    let mut model = scene();
    model.message(model.now, "küche", "23,9 °C".as_bytes(), false);
    assert!(text(&drawn(&model, 80, 24, ASCII)).is_ascii());
}

/// A size or a state in which drawing fails: the terminal would be left behind in a panic.
#[test]
fn every_size_and_state_can_be_drawn() {
    let mut lost = scene();
    lost.report(
        lost.now,
        &Report::Lost {
            cause: Cause::Network(Network::ConnectionRefused),
            words: "nothing listens at the broker's address and port".repeat(5),
        },
    );
    lost.report(lost.now, &Report::Sensor(SensorState::Missing));
    lost.message(
        lost.now,
        "温度/台所",
        "二十四度".repeat(40).as_bytes(),
        true,
    );
    lost.now = Duration::MAX;
    let lost_panel = Model {
        prefers_panel: true,
        ..lost.clone()
    };
    for model in [
        Model::default(),
        scene(),
        scene_with_panel(),
        lost,
        lost_panel,
    ] {
        for looks in [COLOUR, ASCII] {
            for width in (0..=24).chain([39, 40, 59, 60, 63, 64, 80, 128, 200]) {
                for height in (0..=26).chain([40, 50, 60]) {
                    let _ = drawn(&model, width, height, looks);
                }
            }
        }
    }
}

/// The essential is not on the smallest terminals.
#[test]
fn values_lamp_and_connection_come_first() {
    for height in 3..=24 {
        let shown = text(&drawn(&scene(), 30, height, COLOUR));
        for what in ["24.1", "26.5", "● on", "MQTT 5"] {
            assert!(shown.contains(what), "{what} in {height} lines:\n{shown}");
        }
    }
}

/// The panel is cut off, or pushes the values away; or there is none where there is room.
#[test]
fn the_panel_is_there_as_a_whole_or_not_at_all() {
    let in_all = |model: &Model, width, height| {
        let shown = text(&drawn(model, width, height, COLOUR));
        let picture = &model.sight.picture;
        let has = |lines: Vec<String>| lines.iter().all(|line| shown.contains(line.trim_end()));
        let braille = ['⠀', '⣿', '⠁'].iter().any(|dots| shown.contains(*dots));
        match (has(picture.half_blocks()), has(picture.brailles())) {
            (false, false) => {
                assert!(!braille, "{width}x{height}:\n{shown}");
                None
            }
            (half, _) => Some((half, shown)),
        }
    };
    let (all, panel) = (scene(), scene_with_panel());
    assert_eq!(in_all(&all, 80, 24), None);
    for (model, width, height, half) in [
        (&all, 80, 40, false),
        (&all, 130, 56, true),
        (&panel, 80, 24, false),
        (&panel, 130, 40, true),
    ] {
        let (is_half, shown) = in_all(model, width, height).expect("a panel");
        assert_eq!(is_half, half, "{width}x{height}");
        for what in ["24.1", "26.5", "MQTT 5", "q quit"] {
            assert!(shown.contains(what), "{what}:\n{shown}");
        }
    }
    for height in 0..60 {
        for width in [63, 64, 80, 127, 128] {
            for model in [&all, &panel] {
                let _ = in_all(model, width, height);
            }
        }
    }
    assert!(in_all(&panel, 64, 16).is_some());
    assert_eq!(in_all(&panel, 63, 60), None);
}

/// The lamp calls for somebody, and the readout shows it dark.
#[test]
fn the_dot_is_the_light_and_the_word_is_the_state() {
    let mut model = scene();
    for (light, state, line) in [
        (Lamp::On, Lamp::Off, "Lamp         ● off"),
        (Lamp::Off, Lamp::On, "Lamp         ○ on"),
    ] {
        model.report(model.now, &Report::Lamp(state));
        model.report(model.now, &Report::Light(light));
        let shown = text(&drawn(&model, 80, 24, COLOUR));
        assert!(shown.contains(line), "{shown}");
    }
}

/// A value from long ago would be taken for the present.
#[test]
fn a_value_that_cannot_be_believed_is_not_shown() {
    let mut model = scene();
    for state in [SensorState::Stale, SensorState::Missing] {
        model.report(model.now, &Report::Sensor(state));
        let shown = text(&drawn(&model, 80, 24, COLOUR));
        assert!(
            !shown
                .lines()
                .any(|line| line.contains("Temperature   24.1"))
        );
        assert!(shown.contains(state.as_str()));
    }
}

/// The README shows what is no longer so.
#[test]
fn the_picture_in_the_readme_is_the_readout() {
    assert_is_in("docs/demo.svg", &svg(&drawn(&scene(), 80, 41, COLOUR)));
}

const CELL_WIDTH: f64 = 8.4;
const CELL_HEIGHT: f64 = 18.0;
const MARGIN: f64 = 14.0;
const INK: &str = "#d8dee9";
const PAPER: &str = "#1d2129";

/// The buffer as a picture. Bars, rules and dots are shapes, so that it looks the same with
/// every font.
fn svg(buffer: &Buffer) -> String {
    let area = buffer.area();
    let width = f64::from(area.width) * CELL_WIDTH + 2.0 * MARGIN;
    let height = f64::from(area.height) * CELL_HEIGHT + 2.0 * MARGIN;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.1} {height:.1}\" \
         width=\"{width:.1}\" height=\"{height:.1}\" role=\"img\" \
         aria-label=\"The live readout of aldis demo\">\n\
         <rect width=\"{width:.1}\" height=\"{height:.1}\" rx=\"8\" fill=\"{PAPER}\"/>\n\
         <g font-family=\"ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, monospace\" \
         font-size=\"14\" xml:space=\"preserve\">\n"
    );
    for (y, row) in rows(buffer).enumerate() {
        let top = MARGIN + y as f64 * CELL_HEIGHT;
        let mut x = 0;
        while let Some(first) = row.get(x) {
            let alike = |cell: &&Cell| cell.style() == first.style() && !is_shape(cell.symbol());
            let left = MARGIN + x as f64 * CELL_WIDTH;
            if is_shape(first.symbol()) {
                shape(&mut svg, first, left, top);
                x += 1;
                continue;
            }
            let run: Vec<_> = row[x..].iter().take_while(alike).collect();
            x += run.len();
            let text: String = run.iter().map(|cell| cell.symbol()).collect();
            words(&mut svg, first, &text, left, top);
        }
    }
    svg.push_str("</g>\n");
    pixels(&mut svg, buffer);
    svg.push_str("</svg>\n");
    svg
}

/// The dots of a braille character, as a terminal's cell has them: two columns, four rows.
fn dots(symbol: &str, column: usize, row: usize) -> bool {
    const BITS: [[u32; 2]; 4] = [[0, 3], [1, 4], [2, 5], [6, 7]];
    let dots = symbol.chars().next().map_or(0, u32::from);
    (0x2800..0x2900).contains(&dots) && dots >> BITS[row][column] & 1 == 1
}

/// The panel: the dots of all braille characters, each row's neighbours as one.
fn pixels(svg: &mut String, buffer: &Buffer) {
    let (wide, high) = (CELL_WIDTH / 2.0, CELL_HEIGHT / 4.0);
    let mut path = String::new();
    for (y, cells) in rows(buffer).enumerate() {
        for row in 0..4 {
            let lit = |x: usize| {
                let cell = cells.get(x / 2);
                cell.is_some_and(|cell| dots(cell.symbol(), x % 2, row))
            };
            let mut x = 0;
            while x < 2 * cells.len() {
                let run = (x..).take_while(|x| lit(*x)).count();
                if run > 0 {
                    let left = MARGIN + x as f64 * wide;
                    let top = MARGIN + (4 * y + row) as f64 * high;
                    let width = run as f64 * wide;
                    let _ = write!(
                        path,
                        "M{left:.1} {top:.1}h{width:.1}v{high:.1}h-{width:.1}z"
                    );
                }
                x += run.max(1);
            }
        }
    }
    let _ = writeln!(svg, "<path fill=\"#e8f4ff\" d=\"{path}\"/>");
}

/// Every word where its cells are.
fn words(svg: &mut String, cell: &Cell, text: &str, left: f64, top: f64) {
    let trimmed = text.trim_end();
    let lead = trimmed.chars().take_while(|&c| c == ' ').count();
    let trimmed = trimmed.trim_start();
    if trimmed.is_empty() {
        return;
    }
    let escaped = trimmed
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;");
    let left = left + lead as f64 * CELL_WIDTH;
    let width = trimmed.chars().count() as f64 * CELL_WIDTH;
    let weight = match cell.modifier.contains(Modifier::BOLD) {
        true => " font-weight=\"bold\"",
        false => "",
    };
    let baseline = top + CELL_HEIGHT * 0.72;
    let _ = writeln!(
        svg,
        "<text x=\"{left:.1}\" y=\"{baseline:.1}\" textLength=\"{width:.1}\"{weight}{}>{escaped}\
         </text>",
        ink(cell)
    );
}

fn bar(symbol: &str) -> Option<u32> {
    let level = u32::from(symbol.chars().next()?).checked_sub(u32::from('▁'))?;
    (level < 8).then_some(level + 1)
}

fn is_shape(symbol: &str) -> bool {
    matches!(symbol, "─" | "●" | "○") || bar(symbol).is_some() || is_braille(symbol)
}

fn is_braille(symbol: &str) -> bool {
    symbol.starts_with(|dots: char| ('\u{2800}'..'\u{2900}').contains(&dots))
}

fn shape(svg: &mut String, cell: &Cell, left: f64, top: f64) {
    let ink = ink(cell);
    let (middle, centre) = (top + CELL_HEIGHT / 2.0, left + CELL_WIDTH / 2.0);
    let _ = match (cell.symbol(), bar(cell.symbol())) {
        (_, Some(eighths)) => {
            let height = (CELL_HEIGHT - 2.0) * f64::from(eighths) / 8.0;
            let top = top + CELL_HEIGHT - 1.0 - height;
            let width = CELL_WIDTH - 0.8;
            writeln!(
                svg,
                "<rect x=\"{left:.1}\" y=\"{top:.1}\" width=\"{width:.1}\" height=\"{height:.1}\"{ink}/>"
            )
        }
        ("●", _) => writeln!(
            svg,
            "<circle cx=\"{centre:.1}\" cy=\"{middle:.1}\" r=\"4\"{ink}/>"
        ),
        ("○", _) => writeln!(
            svg,
            "<circle cx=\"{centre:.1}\" cy=\"{middle:.1}\" r=\"3.5\" fill=\"none\" stroke=\"{INK}\"/>"
        ),
        // All of them are drawn together.
        (dots, _) if is_braille(dots) => Ok(()),
        _ => writeln!(
            svg,
            "<rect x=\"{left:.1}\" y=\"{middle:.1}\" width=\"{CELL_WIDTH:.1}\" height=\"1\"{ink}/>"
        ),
    };
}

fn ink(cell: &Cell) -> String {
    let colour = match cell.fg {
        Color::Red | Color::LightRed => "#ef8a80",
        Color::Green => "#8fce8f",
        Color::Yellow => "#f5cd5b",
        Color::LightBlue => "#7fb4f0",
        Color::Cyan => "#7fd1d8",
        _ => INK,
    };
    let dim = match cell.modifier.contains(Modifier::DIM) {
        true => " opacity=\"0.55\"",
        false => "",
    };
    format!(" fill=\"{colour}\"{dim}")
}
