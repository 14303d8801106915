//! Pictures as PNG, as golden files and as text.

mod common;

use std::fs;
use std::io::Cursor;
use std::path::PathBuf;

use aldis_panel::png::{self, MAX_SCALE, Style};
use aldis_panel::{Picture, golden};
use common::scene;

/// An empty folder for this test alone.
fn folder(name: &str) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    folder
}

fn encoded(picture: &Picture, style: Style) -> Vec<u8> {
    let mut bytes = Vec::new();
    png::encode(picture, style, &mut bytes).unwrap();
    bytes
}

#[test]
fn a_png_is_read_back_in_every_style() {
    for scale in [1, 2, 3, 4, MAX_SCALE] {
        for frame in [false, true] {
            let style = Style { scale, frame };
            let bytes = encoded(&scene(), style);
            let (picture, found) = png::decode(Cursor::new(&bytes)).unwrap();
            assert_eq!(picture, scene());
            assert_eq!(found, style);
        }
    }
}

#[test]
fn a_png_is_one_bit_grey_and_small() {
    let bytes = encoded(&scene(), Style::FRAMED);
    // IHDR: width, height, depth, colour type.
    assert_eq!(bytes[16..20], 530_u32.to_be_bytes());
    assert_eq!(bytes[20..24], 274_u32.to_be_bytes());
    assert_eq!(bytes[24..26], [1, 0]);
    assert!(bytes.len() < 4096, "{} bytes", bytes.len());
}

#[test]
fn no_scale_and_a_huge_one_are_refused() {
    for scale in [0, MAX_SCALE + 1, u32::MAX] {
        let style = Style { scale, frame: true };
        let error = png::encode(&scene(), style, Vec::new()).unwrap_err();
        assert!(
            error.to_string().contains("the scale is 1 to 16"),
            "{error}"
        );
    }
}

#[test]
fn what_is_no_picture_of_the_panel_is_refused_with_the_reason() {
    let refused = |bytes: &[u8], why: &str| {
        let error = png::decode(Cursor::new(bytes)).unwrap_err().to_string();
        assert!(error.contains(why), "{error}");
    };
    refused(b"no picture at all", "signature");
    let whole = encoded(&scene(), Style::FRAMED);
    refused(&whole[..whole.len() / 2], "");

    let grey = |width, height, pixels: &[u8]| {
        let mut bytes = Vec::new();
        let mut encoder = ::png::Encoder::new(&mut bytes, width, height);
        encoder.set_color(::png::ColorType::Grayscale);
        let mut writer = encoder.write_header().unwrap();
        writer.write_image_data(pixels).unwrap();
        writer.finish().unwrap();
        bytes
    };
    refused(
        &grey(100, 64, &[0; 6400]),
        "100 x 64 pixels is none of the panel",
    );
    let mut pixels = [0; 128 * 64];
    pixels[3 * 128 + 5] = 0x80;
    refused(&grey(128, 64, &pixels), "5, 3 is neither black nor white");
    // Two pixels of the file for one of the panel, and one of them differs.
    let mut pixels = vec![0; 256 * 128];
    pixels[257] = 0xFF;
    refused(&grey(256, 128, &pixels), "does not fit");
    let mut pixels = vec![0xFF; 128 * 64];
    pixels[0] = 0;
    let (picture, _) = png::decode(Cursor::new(grey(128, 64, &pixels))).unwrap();
    assert_eq!(picture, Picture::from_fn(|x, y| (x, y) != (0, 0)));
}

#[test]
fn a_golden_picture_is_compared_written_and_shown() {
    let folder = folder("golden");
    let (path, aside) = (folder.join("pages/one.png"), folder.join("aside"));

    let why = golden::check(&path, &scene(), false, &aside).unwrap_err();
    assert!(why.contains("there is no"), "{why}");
    assert!(why.contains("ALDIS_GOLDEN=write"), "{why}");
    assert!(!path.exists());
    assert_eq!(png::read(aside.join("one.png")).unwrap().0, scene());

    golden::check(&path, &scene(), true, &aside).unwrap();
    assert_eq!(png::read(&path).unwrap(), (scene(), Style::FRAMED));
    golden::check(&path, &scene(), false, &aside).unwrap();

    let mut other = scene();
    other.set(127, 0, true);
    other.set(0, 63, true);
    let why = golden::check(&path, &other, false, &aside).unwrap_err();
    assert!(why.contains("2 pixels are not as in"), "{why}");
    assert!(
        why.contains(&scene().to_string()),
        "the golden one is shown"
    );
    assert!(why.contains(&other.to_string()), "the other is shown");
    assert_eq!(
        png::read(&path).unwrap().0,
        scene(),
        "the file is left alone"
    );
    assert_eq!(png::read(aside.join("one.png")).unwrap().0, other);

    golden::check(&path, &other, true, &aside).unwrap();
    golden::check(&path, &other, false, &aside).unwrap();
}

#[test]
fn a_golden_picture_keeps_its_style_and_is_not_written_for_nothing() {
    let folder = folder("golden-style");
    let path = folder.join("plain.png");
    png::write(&Picture::DARK, Style::PLAIN, &path).unwrap();
    golden::check(&path, &scene(), true, &folder).unwrap();
    assert_eq!(png::read(&path).unwrap(), (scene(), Style::PLAIN));
    // Something behind the end of the picture, to see whether the file was touched.
    let mut marked = fs::read(&path).unwrap();
    marked.extend(b"mark");
    fs::write(&path, &marked).unwrap();
    golden::check(&path, &scene(), true, &folder).unwrap();
    assert_eq!(fs::read(&path).unwrap(), marked);
}

#[test]
fn a_damaged_golden_picture_is_told_and_can_be_written_anew() {
    let folder = folder("golden-damaged");
    let path = folder.join("damaged.png");
    fs::write(&path, b"damaged").unwrap();
    let why = golden::check(&path, &scene(), false, &folder).unwrap_err();
    assert!(why.contains("damaged.png"), "{why}");
    golden::check(&path, &scene(), true, &folder).unwrap();
    golden::check(&path, &scene(), false, &folder).unwrap();
}

#[test]
fn half_blocks_are_two_pixels_each() {
    let picture =
        Picture::from_fn(|x, y| [(0, 0), (1, 1), (2, 0), (2, 1), (127, 63)].contains(&(x, y)));
    let lines = picture.half_blocks();
    assert_eq!(lines.len(), 32);
    assert!(lines.iter().all(|line| line.chars().count() == 128));
    assert!(lines[0].starts_with("▀▄█ "));
    assert!(lines[31].ends_with(" ▄"));
    assert_eq!(picture.to_string(), lines.join("\n") + "\n");
}

#[test]
fn braille_is_eight_pixels_each() {
    // Each dot alone, in the order of the character's bits.
    let dots = [
        (0, 0),
        (0, 1),
        (0, 2),
        (1, 0),
        (1, 1),
        (1, 2),
        (0, 3),
        (1, 3),
    ];
    for (bit, dot) in dots.iter().enumerate() {
        let mut picture = Picture::DARK;
        picture.set(126 + dot.0, 60 + dot.1, true);
        let lines = picture.brailles();
        assert_eq!(lines.len(), 16);
        assert!(lines.iter().all(|line| line.chars().count() == 64));
        let last = lines[15].chars().last().unwrap();
        assert_eq!(u32::from(last), 0x2800 + (1 << bit), "{last}");
        let others = lines.concat().chars().filter(|c| *c == '\u{2800}').count();
        assert_eq!(others, 64 * 16 - 1);
    }
    let full = Picture::from_fn(|_, _| true);
    assert!(full.brailles().concat().chars().all(|c| c == '⣿'));
    // Outside there is nothing.
    assert_eq!(full.braille(64, 0), '\u{2800}');
    assert_eq!(full.braille(0, 255), '\u{2800}');
    assert_eq!(full.half_block(0, 255), ' ');
}

#[test]
fn pictures_know_their_pixels() {
    let mut picture = Picture::DARK;
    picture.set(50, 4, true);
    picture.set(128, 0, true);
    picture.set(0, 64, true);
    assert_eq!(picture.lit(), 1);
    assert!(picture.get(50, 4) && picture.rotated_180().get(77, 59));
    assert_eq!(picture.differs(&scene()), scene().lit() + 1);
    picture.set(50, 4, false);
    assert_eq!(picture, Picture::DARK);
}
