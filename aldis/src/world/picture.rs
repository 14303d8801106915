//! A run as a picture: contact, faults and deliveries of each device over time.

use std::fmt::Write;

use aldis_world::{FaultKind, Lane, Stamp, Timeline};

/// Where time begins and ends, from the left.
const LEFT: f64 = 110.0;
const RIGHT: f64 = 1_170.0;
const WIDTH: f64 = 1_200.0;
/// Of a device: its contact, its deliveries and a row of faults.
const CONTACT: f64 = 12.0;
const DELIVERIES: f64 = 22.0;
const FAULT: f64 = 9.0;
const GAP: f64 = 14.0;
/// The most rows of faults; what has no row of its own shares the last.
const ROWS: usize = 6;

/// Draws it.
pub fn draw(timeline: &Timeline, seed: u64) -> String {
    let mut body = String::new();
    let scale = Scale {
        ms: timeline.duration_ms.max(1) as f64,
    };
    let mut y = 62.0;
    y = faults(&mut body, &scale, "broker", &timeline.broker, y, CONTACT) + GAP;
    for (index, lane) in timeline.devices.iter().enumerate() {
        y = device(&mut body, &scale, index, lane, timeline.bin_ms, y) + GAP;
    }
    let height = y + 44.0;
    let mut svg = String::new();
    let _ = writeln!(
        svg,
        r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="system-ui, sans-serif" font-size="11" fill="#333">
<rect width="100%" height="100%" fill="#fff"/>
<text x="16" y="24" font-size="15" font-weight="600">{devices} over {time}, seed {seed}</text>"##,
        devices = match timeline.devices.len() {
            1 => "One device".to_owned(),
            count => format!("{count} devices"),
        },
        time = span(timeline.duration_ms),
    );
    legend(&mut svg);
    axis(&mut svg, &scale, 56.0, y);
    svg += &body;
    svg += "</svg>\n";
    svg
}

struct Scale {
    ms: f64,
}

impl Scale {
    fn x(&self, at: u64) -> f64 {
        LEFT + (at as f64 / self.ms).min(1.0) * (RIGHT - LEFT)
    }

    /// Where a span is, and how wide; nothing is too short to be seen.
    fn place(&self, from: u64, to: u64) -> (f64, f64) {
        let x = self.x(from);
        (x, (self.x(to) - x).max(1.2))
    }
}

fn legend(svg: &mut String) {
    let mut x = 540.0;
    for (colour, text, width) in [
        ("#2a9d5c", "connected", 80.0),
        ("#f0b7b0", "no contact", 86.0),
        ("#555", "no power", 78.0),
        ("#3b78c2", "readings at the broker", 152.0),
        ("#c8553d", "faults (hover for names)", 150.0),
    ] {
        let _ = writeln!(
            svg,
            r#"<rect x="{x}" y="15" width="10" height="10" fill="{colour}"/><text x="{}" y="24">{text}</text>"#,
            x + 14.0
        );
        x += width;
    }
}

/// Lines at round times.
fn axis(svg: &mut String, scale: &Scale, top: f64, bottom: f64) {
    const STEPS_S: [u64; 14] = [
        60, 300, 600, 1_800, 3_600, 7_200, 21_600, 43_200, 86_400, 172_800, 604_800, 1_209_600,
        2_592_000, 31_536_000,
    ];
    let wanted = scale.ms / 1_000.0 / 10.0;
    let step = STEPS_S.into_iter().find(|step| *step as f64 >= wanted);
    let step = step.unwrap_or(31_536_000) * 1_000;
    let mut at = 0;
    while at as f64 <= scale.ms {
        let x = scale.x(at);
        let _ = writeln!(
            svg,
            r##"<line x1="{x:.1}" y1="{top}" x2="{x:.1}" y2="{bottom:.1}" stroke="#ddd"/><text x="{x:.1}" y="{:.1}" text-anchor="middle" fill="#777">{}</text>"##,
            bottom + 16.0,
            span(at)
        );
        at += step;
    }
}

fn span(ms: u64) -> String {
    match ms {
        0 => "0".to_owned(),
        ms if ms % 86_400_000 == 0 => format!("{} d", ms / 86_400_000),
        ms if ms % 3_600_000 == 0 => format!("{} h", ms / 3_600_000),
        ms if ms % 60_000 == 0 => format!("{} min", ms / 60_000),
        ms => Stamp(ms).to_string(),
    }
}

fn device(svg: &mut String, scale: &Scale, index: usize, lane: &Lane, bin_ms: u64, y: f64) -> f64 {
    let _ = writeln!(
        svg,
        r##"<text x="16" y="{:.1}" font-weight="600">device {index}</text>"##,
        y + CONTACT - 2.0
    );
    for (spans, colour) in [(&lane.power, "#f0b7b0"), (&lane.contact, "#2a9d5c")] {
        if colour == "#f0b7b0" {
            // What has no power is dark.
            let _ = writeln!(
                svg,
                r##"<rect x="{LEFT}" y="{y:.1}" width="{}" height="{CONTACT}" fill="#555"/>"##,
                RIGHT - LEFT
            );
        }
        for &(from, to) in spans {
            let (x, width) = scale.place(from, to);
            let _ = writeln!(
                svg,
                r#"<rect x="{x:.1}" y="{y:.1}" width="{width:.1}" height="{CONTACT}" fill="{colour}"/>"#
            );
        }
    }
    let y = y + CONTACT + 2.0;
    deliveries(svg, scale, lane, bin_ms, y);
    faults(svg, scale, "", &lane.faults, y + DELIVERIES + 2.0, FAULT)
}

/// Readings that came, as columns; a backlog that drains is higher than the rest.
fn deliveries(svg: &mut String, scale: &Scale, lane: &Lane, bin_ms: u64, y: f64) {
    let most = lane.deliveries.iter().copied().max().unwrap_or(0).max(1);
    let mut sorted: Vec<u32> = lane.deliveries.iter().copied().filter(|n| *n > 0).collect();
    sorted.sort_unstable();
    let usual = sorted.get(sorted.len() / 2).copied().unwrap_or(1);
    let full = f64::from(most.min(usual * 3));
    let bottom = y + DELIVERIES;
    let mut path = format!("M{LEFT} {bottom:.1}");
    for (bin, &count) in lane.deliveries.iter().enumerate() {
        let from = scale.x(bin as u64 * bin_ms);
        let to = scale.x((bin as u64 + 1) * bin_ms);
        let top = bottom - (f64::from(count) / full).min(1.0) * DELIVERIES;
        let _ = write!(path, "L{from:.1} {top:.1}L{to:.1} {top:.1}");
    }
    let end = scale.x(lane.deliveries.len() as u64 * bin_ms);
    let _ = writeln!(
        svg,
        r##"<path d="{path}L{end:.1} {bottom:.1}Z" fill="#3b78c2" fill-opacity="0.75"/>"##
    );
}

/// Faults, each in a row in which it is alone. Gives where they end.
fn faults(
    svg: &mut String,
    scale: &Scale,
    name: &str,
    faults: &[(FaultKind, u64, u64)],
    y: f64,
    least: f64,
) -> f64 {
    if !name.is_empty() {
        let _ = writeln!(
            svg,
            r##"<text x="16" y="{:.1}" font-weight="600">{name}</text>"##,
            y + FAULT
        );
    }
    let mut ends: Vec<f64> = Vec::new();
    for &(kind, from, to) in faults {
        let (x, width) = scale.place(from, to);
        let label = kind.name().len() as f64 * 5.2;
        let shown = width > label + 4.0;
        let row = ends.iter().position(|end| *end <= x);
        let row = row.unwrap_or_else(|| {
            if ends.len() < ROWS {
                ends.push(0.0);
            }
            ends.len() - 1
        });
        ends[row] = x + width;
        let top = y + row as f64 * FAULT;
        let _ = writeln!(
            svg,
            r##"<rect x="{x:.1}" y="{top:.1}" width="{width:.1}" height="{:.1}" fill="#c8553d"><title>{kind}, {} to {}</title></rect>"##,
            FAULT - 1.5,
            Stamp(from),
            Stamp(to),
        );
        if shown {
            let _ = writeln!(
                svg,
                r##"<text x="{:.1}" y="{:.1}" font-size="8" fill="#fff">{kind}</text>"##,
                x + 2.0,
                top + FAULT - 2.6
            );
        }
    }
    y + (ends.len() as f64 * FAULT).max(least)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A picture that no program can show.
    #[test]
    fn a_picture_is_drawn_within_its_frame() {
        let timeline = Timeline {
            devices: vec![Lane {
                contact: vec![(1_000, 600_000), (700_000, 3_600_000)],
                power: vec![(0, 3_600_000)],
                faults: vec![(FaultKind::TcpReset, 600_000, 600_001)],
                deliveries: vec![3, 5, 0, 9],
            }],
            broker: vec![(FaultKind::BrokerAway, 600_000, 1_700_000)],
            duration_ms: 3_600_000,
            bin_ms: 6_000,
        };
        let svg = draw(&timeline, 7);
        assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"));
        assert!(svg.contains("One device over 1 h, seed 7"));
        assert!(svg.contains("<title>tcp-reset, 00:10:00.000 to 00:10:00.001</title>"));
        assert!(
            svg.contains(">broker-away</text>"),
            "a long fault has its name"
        );
        for part in svg.split(" x=\"").skip(1) {
            let x: f64 = part.split('"').next().unwrap().parse().unwrap();
            assert!((0.0..=WIDTH).contains(&x), "{x}");
        }
        assert_eq!(svg.matches('<').count(), svg.matches('>').count());
    }

    #[test]
    fn an_empty_run_is_drawn_as_well() {
        assert!(draw(&Timeline::default(), 0).contains("0 devices over 0"));
    }
}
