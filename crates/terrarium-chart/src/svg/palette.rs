//! Colours of parts and cells.

/// How a part is filled.
pub(super) struct Fill {
    pub(super) class: &'static str,
    pub(super) colour: &'static str,
    /// Class and colour of a text on it.
    pub(super) on: (&'static str, &'static str),
}

/// Two texts that are read on dark and on light ground. Their classes say so for either theme: first the light one.
pub(super) const LIGHT_ON: &str = "#ffffff";
pub(super) const DARK_ON: &str = "#10151b";

const fn fill(class: &'static str, colour: &'static str, on: &'static str, ink: &'static str) -> Fill {
    Fill { class, colour, on: (on, ink) }
}

/// Parts of bars. Each differs from every other in lightness, and from the next by much: they are told apart with any
/// kind of colour vision and in grey.
pub(super) const PARTS: [Fill; 6] = [
    fill("c-part0", "#0b5cad", "c-on0", LIGHT_ON),
    fill("c-part1", "#f0a25c", "c-on1", DARK_ON),
    fill("c-part2", "#23886f", "c-on2", LIGHT_ON),
    fill("c-part3", "#dccbee", "c-on3", DARK_ON),
    fill("c-part4", "#6b1238", "c-on4", LIGHT_ON),
    fill("c-part5", "#8b98a4", "c-on5", DARK_ON),
];

/// Cells: nothing is the ground of the picture, all is the whole colour.
pub(super) const HIGH: &str = "#0a4a94";
pub(super) const LOW: &str = "#d9690f";

/// The same in the dark, where they get lighter instead.
pub(super) const HIGH_DARK: &str = "#8cc6ff";
pub(super) const LOW_DARK: &str = "#ffa25c";

/// What a dark page is taken to have as ground.
pub(super) const GROUND_DARK: [u8; 3] = [0x15, 0x19, 0x1e];

/// Class and colour of a text on a cell that has so much of the colour.
pub(super) fn on_cell(share: f64, low: bool) -> (&'static str, &'static str) {
    let (light, dark) = if low { (LOW, LOW_DARK) } else { (HIGH, HIGH_DARK) };
    let best = |ground: [u8; 3], colour: &str| {
        let ground = luminance(mix(ground, rgb(colour), share));
        contrast(ground, luminance(rgb(LIGHT_ON))) > contrast(ground, luminance(rgb(DARK_ON)))
    };
    let fill = if best([255; 3], light) { LIGHT_ON } else { DARK_ON };
    (if best(GROUND_DARK, dark) { "c-onlow" } else { "c-onhigh" }, fill)
}

/// `#rrggbb`; anything else is black.
pub(super) fn rgb(colour: &str) -> [u8; 3] {
    let part = |at: usize| colour.get(at..at + 2).and_then(|hex| u8::from_str_radix(hex, 16).ok());
    [1, 3, 5].map(|at| part(at).unwrap_or(0))
}

fn mix(ground: [u8; 3], colour: [u8; 3], share: f64) -> [u8; 3] {
    let mut mixed = ground;
    for (m, c) in mixed.iter_mut().zip(colour) {
        *m = (f64::from(*m) + (f64::from(c) - f64::from(*m)) * share).round() as u8;
    }
    mixed
}

fn linear(part: u8) -> f64 {
    let part = f64::from(part) / 255.0;
    if part <= 0.040_45 { part / 12.92 } else { ((part + 0.055) / 1.055).powf(2.4) }
}

fn luminance(colour: [u8; 3]) -> f64 {
    let [r, g, b] = colour.map(linear);
    0.2126 * r + 0.7152 * g + 0.0722 * b
}

/// As WCAG has it: 1 to 21.
fn contrast(a: f64, b: f64) -> f64 {
    (a.max(b) + 0.05) / (a.min(b) + 0.05)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::svg::{DARK_CSS, PENS};

    /// L*, a*, b*.
    fn lab([r, g, b]: [f64; 3]) -> [f64; 3] {
        let f = |t: f64| if t > 0.008_856 { t.cbrt() } else { 7.787 * t + 16.0 / 116.0 };
        let x = f((0.4124 * r + 0.3576 * g + 0.1805 * b) / 0.9505);
        let y = f(0.2126 * r + 0.7152 * g + 0.0722 * b);
        let z = f((0.0193 * r + 0.1192 * g + 0.9505 * b) / 1.089);
        [116.0 * y - 16.0, 500.0 * (x - y), 200.0 * (y - z)]
    }

    /// As someone without green cones sees it (Machado, Oliveira and Fernandes, 2009).
    fn without_green([r, g, b]: [f64; 3]) -> [f64; 3] {
        [
            0.367_322 * r + 0.860_646 * g - 0.227_968 * b,
            0.280_085 * r + 0.672_501 * g + 0.047_413 * b,
            -0.011_820 * r + 0.042_940 * g + 0.968_881 * b,
        ]
        .map(|part| part.max(0.0))
    }

    fn apart(a: [f64; 3], b: [f64; 3]) -> f64 {
        a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum::<f64>().sqrt()
    }

    /// The colour that the dark style sheet gives a class.
    fn in_the_dark(class: &str) -> &'static str {
        let rules = DARK_CSS.split('}').filter_map(|rule| rule.split_once('{'));
        let mut found =
            rules.filter(|(names, _)| names.split(',').any(|name| name.strip_prefix('.') == Some(class)));
        let (_, rule) = found.next().unwrap_or_else(|| panic!("no rule for {class}"));
        rule.split(';').find_map(|r| r.strip_prefix("fill:").or(r.strip_prefix("stroke:"))).unwrap()
    }

    #[test]
    fn parts_are_told_apart_in_grey_and_without_green() {
        let light: Vec<&str> = PARTS.iter().map(|part| part.colour).collect();
        let dark: Vec<&str> = PARTS.iter().map(|part| in_the_dark(part.class)).collect();
        for colours in [light, dark] {
            let linear: Vec<[f64; 3]> = colours.iter().map(|c| rgb(c).map(linear)).collect();
            for i in 1..linear.len() {
                for j in 0..i {
                    let step = (lab(linear[i])[0] - lab(linear[j])[0]).abs();
                    let wanted = if i - j == 1 { 20.0 } else { 10.0 };
                    assert!(step >= wanted, "{} {}: {step}", colours[i], colours[j]);
                    let seen = apart(lab(without_green(linear[i])), lab(without_green(linear[j])));
                    assert!(seen >= 15.0, "{} {}: {seen}", colours[i], colours[j]);
                }
            }
        }
    }

    #[test]
    fn texts_on_parts_are_read() {
        for part in &PARTS {
            let pairs = [(part.colour, part.on.1), (in_the_dark(part.class), in_the_dark(part.on.0))];
            for (ground, ink) in pairs {
                let found = contrast(luminance(rgb(ground)), luminance(rgb(ink)));
                assert!(found >= 4.3, "{} {ground} {ink}: {found}", part.class);
            }
        }
    }

    #[test]
    fn texts_on_cells_are_read() {
        for (low, light, class) in [(false, HIGH, "c-high"), (true, LOW, "c-low")] {
            for share in (0..=100).map(|i| f64::from(i) / 100.0) {
                let (on, ink) = on_cell(share, low);
                let pairs = [([255; 3], light, ink), (GROUND_DARK, in_the_dark(class), in_the_dark(on))];
                for (ground, colour, ink) in pairs {
                    let ground = luminance(mix(ground, rgb(colour), share));
                    let found = contrast(ground, luminance(rgb(ink)));
                    assert!(found >= 4.0, "{colour} {share} {ink}: {found}");
                }
            }
        }
        assert_eq!((in_the_dark("c-high"), in_the_dark("c-low")), (HIGH_DARK, LOW_DARK));
    }

    #[test]
    fn lines_are_seen_on_their_ground() {
        for (i, pen) in PENS.iter().enumerate() {
            let light = contrast(luminance(rgb(pen.colour)), 1.0);
            let dark = luminance(rgb(in_the_dark(&format!("c-line{i}"))));
            assert!(light >= 2.9, "{}: {light}", pen.colour);
            assert!(contrast(dark, luminance(GROUND_DARK)) >= 3.0, "c-line{i}");
            assert!(PENS[..i].iter().all(|other| other.dashes != pen.dashes));
        }
    }
}
