//! Every kind of chart with figures as a centre may have, written as SVG files and one page to look at:
//! `cargo run -p terrarium-chart --example gallery -- DIRECTORY`.

use std::path::Path;

use terrarium_chart::bars::{Bar, BarChart, Layout};
use terrarium_chart::curve::{CurveChart, CurvePoint};
use terrarium_chart::dates::{DateChart, DateLine, DatePoint};
use terrarium_chart::days::{Step, first_of};
use terrarium_chart::heat::{HeatChart, HeatScale};
use terrarium_chart::svg::{DARK_CSS, Place, bar_chart, curve_chart, date_chart, heat_chart};
use terrarium_chart::{Limit, Quantity};

const NOTE: &str = "Python processes of batch jobs, January 2025 to October 2026. Left out: 214 people who opted out; \
                    3.1 % of the records are incomplete. A user counts once a month, whatever the number of jobs.";

fn main() -> std::io::Result<()> {
    let directory = std::env::args().nth(1).unwrap_or_else(|| "gallery".to_owned());
    let directory = Path::new(&directory);
    std::fs::create_dir_all(directory)?;
    let mut body = String::new();
    let all =
        dates().into_iter().map(|c| (c.id.clone(), date_chart(&c, Place::File), date_chart(&c, Place::Page)));
    let all = all.chain(
        curves()
            .into_iter()
            .map(|c| (c.id.clone(), curve_chart(&c, Place::File), curve_chart(&c, Place::Page))),
    );
    let all = all.chain(
        heats().into_iter().map(|c| (c.id.clone(), heat_chart(&c, Place::File), heat_chart(&c, Place::Page))),
    );
    let all = all.chain(
        bars().into_iter().map(|c| (c.id.clone(), bar_chart(&c, Place::File), bar_chart(&c, Place::Page))),
    );
    for (id, file, page) in all {
        std::fs::write(directory.join(format!("{id}.svg")), file)?;
        body += &page;
        let dark = format!(
            "<!doctype html><meta charset=\"utf-8\"><style>body{{margin:0;background:#15191e}}svg{{width:960px}}{DARK_CSS}</style>{page}"
        );
        std::fs::write(directory.join(format!("{id}-dark.html")), dark)?;
    }
    let page = format!(
        "<!doctype html><meta charset=\"utf-8\"><title>Gallery</title><style>body{{max-width:960px;margin:auto}}\
         @media (prefers-color-scheme:dark){{body{{background:#15191e}}{DARK_CSS}}}</style>{body}"
    );
    std::fs::write(directory.join("index.html"), page)
}

/// The same numbers every time, from 0 to 1.
fn noise(i: usize, salt: usize) -> f64 {
    let mixed = (i as u32).wrapping_mul(2_654_435_761).wrapping_add((salt as u32).wrapping_mul(40_503_977));
    f64::from((mixed ^ (mixed >> 15)).wrapping_mul(2_246_822_519) >> 16) / 65_536.0
}

fn month(i: usize) -> i32 {
    first_of(2025, i as i64) as i32
}

fn grown(name: &str, from: f64, to: f64, salt: usize) -> DateLine {
    let value =
        |i: usize| (from + (to - from) * i as f64 / 21.0 + (noise(i, salt) - 0.5) * from * 0.2).round();
    let points = (0..22).map(|i| DatePoint { day: month(i), value: Some(value(i).max(0.0)), band: None });
    DateLine { name: name.to_owned(), points: points.collect(), reference: false }
}

fn dates() -> Vec<DateChart> {
    let chart = |id: &str, title: &str, step, lines| DateChart {
        id: id.to_owned(),
        title: title.to_owned(),
        axis: "users in the month".to_owned(),
        quantity: Quantity::Count("users"),
        step,
        lines,
        note: NOTE.to_owned(),
    };
    let mut all = grown("all users of Python", 610.0, 830.0, 0);
    all.reference = true;
    let mut lines = vec![
        all,
        grown("numpy", 480.0, 560.0, 1),
        grown("torch", 130.0, 390.0, 2),
        grown("scipy", 330.0, 345.0, 3),
        grown("pandas", 300.0, 352.0, 4),
        grown("tensorflow", 150.0, 60.0, 5),
        grown("jax", 12.0, 71.0, 6),
        grown("mpi4py", 70.0, 66.0, 7),
    ];
    for line in &mut lines {
        line.points[9].value = None;
        line.points[10].value = None;
    }
    let libraries = chart("dates-libraries", "Who uses which library", Step::Month, lines);

    let mut share = grown("new environments", 35.0, 62.0, 3);
    share.points.truncate(9);
    for (i, point) in share.points.iter_mut().enumerate() {
        let value = point.value.unwrap_or_default();
        point.band = Some((value - 5.0 - noise(i, 9) * 6.0, value + 5.0 + noise(i, 8) * 6.0));
    }
    let mut other = grown("environments of last year, rebuilt", 22.0, 21.0, 5);
    other.points.truncate(9);
    other.points[4].value = None;
    for point in &mut other.points {
        point.band = point.value.map(|value| (value - 4.0, value + 4.0));
    }
    let mut share = chart("dates-band", "Environments that hold numpy 2", Step::Month, vec![share, other]);
    (share.axis, share.quantity) =
        ("percent of environments, with 95 % interval".to_owned(), Quantity::Percent("environments"));

    let daily = |name: &str, base: f64, salt| DateLine {
        name: name.to_owned(),
        points: (0..400usize)
            .map(|i| {
                let weekend = if i % 7 >= 5 { 0.45 } else { 1.0 };
                let value =
                    (base * weekend * (0.8 + 0.4 * noise(i, salt)) * (1.0 + i as f64 / 900.0)).round();
                DatePoint { day: month(3) + i as i32, value: Some(value), band: None }
            })
            .collect(),
        reference: false,
    };
    let mut days = chart(
        "dates-days",
        "Jobs with Python",
        Step::Day,
        vec![daily("GPU nodes", 2_900.0, 1), daily("CPU nodes", 6_200.0, 2)],
    );
    days.axis = "jobs on the day".to_owned();
    let long = |name: &str, salt| {
        let mut line = grown(name, 20.0, 60.0 + 9.0 * salt as f64, salt);
        line.points.truncate(6);
        line
    };
    let legend = chart(
        "dates-legend",
        "Bundles of the module tree",
        Step::Month,
        vec![
            long("SciPy-bundle/2025.06-gfbf-2025a with mpi4py", 1),
            long("PyTorch-bundle/2.6.0-foss-2024a-CUDA-12.6.0", 3),
            long("TensorFlow/2.18.1-foss-2024a-CUDA-12.6.0-with-everything-that-anyone-ever-asked-for", 2),
        ],
    );
    let mut one = grown("numpy", 480.0, 560.0, 1);
    one.points.truncate(1);
    let single = chart("dates-one", "The first month", Step::Month, vec![one]);
    let mut zero = grown("nose", 0.0, 0.0, 1);
    zero.points.truncate(4);
    let zero = chart("dates-zero", "Nobody", Step::Month, vec![zero]);
    vec![libraries, share, days, legend, single, zero, chart("dates-none", "Nothing", Step::Month, vec![])]
}

fn curves() -> Vec<CurveChart> {
    let names =
        ["torch-geometric", "rasterio", "h5py-parallel", "ase", "netCDF4", "cupy", "dask-mpi", "lightning"];
    let mut reached = 61.0;
    let points: Vec<CurvePoint> = (0..40usize)
        .map(|i| {
            reached += (130.0 / (i as f64 + 1.4).powf(1.25)).round();
            CurvePoint {
                x: i as f64,
                y: reached,
                label: names.get(i.wrapping_sub(1)).map(|n| (*n).to_owned()),
            }
        })
        .collect();
    let back = CurveChart {
        id: "curve-back".to_owned(),
        title: "Owners of environments who could come back to the modules".to_owned(),
        x_axis: "packages added to the module tree, the one that helps most first".to_owned(),
        y_axis: "people whose whole environment is covered".to_owned(),
        x: Quantity::Count("packages"),
        y: Quantity::Count("people"),
        points,
        steps: true,
        limit: Some(Limit { name: "all owners of environments".to_owned(), value: 512.0 }),
        note: NOTE.to_owned(),
    };
    let points = (0..120usize).map(|i| CurvePoint {
        x: i as f64 * 25.0,
        y: 100.0 * (1.0 - (-(i as f64) / 22.0).exp()),
        label: [(4, "the 100 most used"), (20, "half a thousand")]
            .iter()
            .find(|l| l.0 == i)
            .map(|l| l.1.to_owned()),
    });
    let share = CurveChart {
        id: "curve-share".to_owned(),
        title: "How many packages make up the use".to_owned(),
        x_axis: "packages, the most used first".to_owned(),
        y_axis: "percent of all imports".to_owned(),
        x: Quantity::Count("packages"),
        y: Quantity::Percent("imports"),
        points: points.collect(),
        steps: false,
        limit: Some(Limit { name: "wanted".to_owned(), value: 90.0 }),
        note: String::new(),
    };
    let none = CurveChart { id: "curve-none".to_owned(), points: vec![], limit: None, ..back.clone() };
    vec![back, share, none]
}

const PACKAGES: [&str; 20] = [
    "numpy",
    "scipy",
    "pandas",
    "matplotlib",
    "torch",
    "torchvision",
    "transformers",
    "scikit-learn",
    "h5py",
    "mpi4py",
    "xarray",
    "netCDF4",
    "dask",
    "numba",
    "jax",
    "tensorflow",
    "sympy",
    "ase",
    "networkx",
    "opencv-python-headless",
];

fn heats() -> Vec<HeatChart> {
    let chart =
        |id: &str, title: &str, count: usize, scale, value: &dyn Fn(usize, usize) -> Option<f64>| HeatChart {
            id: id.to_owned(),
            title: title.to_owned(),
            key: "share of the users of the row who use the column, too".to_owned(),
            scale,
            rows: (0..count)
                .map(|i| PACKAGES.get(i).map_or_else(|| format!("package-{i}"), |n| (*n).to_owned()))
                .collect(),
            columns: (0..count)
                .map(|i| PACKAGES.get(i).map_or_else(|| format!("package-{i}"), |n| (*n).to_owned()))
                .collect(),
            cells: (0..count).map(|row| (0..count).map(|column| value(row, column)).collect()).collect(),
            note: NOTE.to_owned(),
        };
    let together = |row: usize, column: usize| {
        let popular = 1.0 / (1.0 + column as f64 * 0.22);
        (row != column).then(|| (popular * (0.5 + noise(row * 31 + column, 3))).min(1.0))
    };
    let signed = |row: usize, column: usize| {
        let (a, b) = (row.min(column), row.max(column));
        if (a, b) == (2, 5) {
            None
        } else {
            Some(if a == b { 1.0 } else { noise(a * 31 + b, 7) * 1.9 - 0.95 })
        }
    };
    let share = chart("heat-share", "What is used together", 12, HeatScale::Share, &together);
    let mut turned =
        chart("heat-signed", "More or less often together than by chance", 20, HeatScale::Signed, &signed);
    turned.key = "correlation; blue: more often, orange: less often".to_owned();
    let large = chart("heat-large", "What is used together, sixty packages", 60, HeatScale::Share, &together);
    let mut years = chart("heat-years", "Who stays with a library", 5, HeatScale::Share, &together);
    years.columns = (2022..2027).map(|year| year.to_string()).collect();
    years.key = "share of the users of 2022 who still use it".to_owned();
    vec![share, turned, large, years]
}

fn bars() -> Vec<BarChart> {
    let names = [
        "numpy",
        "SciPy-bundle-2025.06-gfbf-2025a-with-mpi4py",
        "pandas",
        "torch",
        "matplotlib",
        "jax",
        "mpi4py",
    ];
    let chart = |id: &str, title: &str, parts: &[&str], layout| BarChart {
        id: id.to_owned(),
        title: title.to_owned(),
        axis: "users".to_owned(),
        parts: parts.iter().map(|part| (*part).to_owned()).collect(),
        bars: names
            .iter()
            .enumerate()
            .map(|(i, name)| Bar {
                name: (*name).to_owned(),
                values: (0..parts.len())
                    .map(|part| (9_000.0 * (0.2 + noise(i * 7 + part, 2)) / (i as f64 + 1.0)).round())
                    .collect(),
                range: None,
            })
            .collect(),
        layout,
        full: true,
        note: NOTE.to_owned(),
    };
    let six = ["module tree", "conda", "venv", "container", "home (pip --user)", "unknown"];
    let mut ranges = chart("bars-range", "Users, estimated from a sample", &["users"], Layout::Stacked);
    for bar in &mut ranges.bars {
        let total = bar.total();
        bar.range = Some(((total * 0.86).round(), (total * 1.2).round()));
    }
    let mut grouped = chart("bars-grouped", "Users by year", &["2024", "2025", "2026"], Layout::Grouped);
    grouped.bars[2].values[1] = f64::NAN;
    vec![
        chart("bars-stacked", "Where libraries come from", &six, Layout::Stacked),
        chart("bars-share", "Where libraries come from, in percent", &six, Layout::Share),
        grouped,
        ranges,
    ]
}
