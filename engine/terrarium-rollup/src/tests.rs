//! Answers beside those of somebody who counts one by one.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
struct Process {
    day: i32,
    user: u32,
    /// 0: outside of jobs.
    job: u64,
    class: u8,
    python: bool,
    /// Package, origin, asked.
    loads: Vec<(u8, u8, u8)>,
}

/// What belongs to a job hangs on its number, as it does in accounting.
fn facts(job: u64) -> JobFacts {
    JobFacts {
        identity: job.wrapping_mul(0x9E37_79B9_7F4A_7C15),
        project: (!job.is_multiple_of(5)).then(|| format!("p{}", job % 3)),
        domain: None,
        queue: Some(format!("q{}", job % 2)),
        nodes: (!job.is_multiple_of(7)).then_some(job as u32 % 4 + 1),
        gpus: (!job.is_multiple_of(11)).then_some(job as u32 % 2),
        seconds: Some(job as u32 * 60),
        is_accounted: !job.is_multiple_of(7),
    }
}

fn process() -> impl Strategy<Value = Process> {
    let loads = prop::collection::vec((0u8..6, 0u8..3, 0u8..3), 0..6);
    // A job is one user's.
    (0i32..6, 0u32..40, 0u64..30, 0u8..3, prop::bool::weighted(0.9), loads).prop_map(
        |(day, user, job, class, python, loads)| {
            let user = if job == 0 { user } else { job as u32 % 7 * 30 };
            let loads = if python { loads } else { Vec::new() };
            Process { day, user, job, class, python, loads }
        },
    )
}

fn asked(number: u8) -> Asked {
    [Asked::No, Asked::Yes, Asked::Unknown][number as usize]
}

/// A part for each day that has something.
fn parts(processes: &[Process]) -> Vec<Part> {
    let days: BTreeSet<i32> = processes.iter().map(|process| process.day).collect();
    let part = |day: i32| {
        let mut builder = Builder::new("c", 20_000 + day, 7);
        for process in processes.iter().filter(|process| process.day == day) {
            let job = (process.job != 0).then(|| facts(process.job));
            let job_day = builder.job_day(process.user, job);
            let class = builder.text(&format!("class{}", process.class));
            let number = builder.process(
                job_day,
                ProcessFacts {
                    is_python: process.python,
                    class,
                    probability: 1_000_000,
                    ..ProcessFacts::default()
                },
            );
            for (package, origin, asked_for) in &process.loads {
                let package = Package {
                    package: builder.text(&format!("lib{package}")),
                    distribution: 0,
                    version: 0,
                    origin: builder.text(&format!("origin{origin}")),
                    is_library: true,
                };
                let package = builder.package(package);
                builder.load(number, package, asked(*asked_for));
            }
        }
        builder.finish()
    };
    days.into_iter().map(part).collect()
}

/// As a month is made day by day: each is added to what was there, of which a day is said anew.
fn merged(days: &[Part]) -> Part {
    let mut month: Option<Part> = None;
    for day in days {
        let again = day.days[0].0;
        let so_far = month.take().unwrap_or_else(|| day.clone());
        // Said twice: the earlier one goes.
        let twice = if so_far == *day { so_far } else { merge(&[(&so_far, None), (day, None)]) };
        let others: Vec<i32> = twice.days.iter().map(|day| day.0).filter(|day| *day != again).collect();
        let parts: &[AskedOf<'_>] = &[(day, None), (&twice, Some(&others))];
        month = Some(merge(if others.is_empty() { &parts[..1] } else { parts }));
    }
    month.unwrap()
}

/// The loads of a process as a library is told apart: asked for in one module is enough.
fn libraries(process: &Process) -> BTreeMap<(u8, u8), u8> {
    let mut all: BTreeMap<(u8, u8), u8> = BTreeMap::new();
    for (package, origin, asked) in &process.loads {
        let so_far = all.entry((*package, *origin)).or_insert(2);
        *so_far = match (*so_far, *asked) {
            (1, _) | (_, 1) => 1,
            (0, _) | (_, 0) => 0,
            _ => 2,
        };
    }
    all
}

type Counted = (BTreeSet<u32>, BTreeSet<u64>, BTreeSet<(i32, u32, u64)>);

fn count(processes: &[Process], filter: &Filter, dimensions: &[Dimension]) -> BTreeMap<Vec<Value>, Counted> {
    let mut all: BTreeMap<Vec<Value>, Counted> = BTreeMap::new();
    for process in processes.iter().filter(|process| process.python) {
        let job = facts(process.job);
        let in_job = process.job != 0;
        let of = |value: Option<String>| if in_job { value } else { None };
        let (project, queue) = (of(job.project.clone()), of(job.queue.clone()));
        let day = 20_000 + process.day;
        let class = format!("class{}", process.class);
        let gpu = in_job.then(|| job.gpus.unwrap_or(0) > 0);
        let is_chosen = filter.days.is_none_or(|(first, last)| (first..=last).contains(&day))
            && filter.users.as_ref().is_none_or(|users| users.contains(process.user))
            && filter.project.as_ref().is_none_or(|wanted| project.as_ref() == Some(wanted))
            && filter.queue.as_ref().is_none_or(|wanted| queue.as_ref() == Some(wanted))
            && filter.class.as_ref().is_none_or(|wanted| *wanted == class)
            && filter.gpu.is_none_or(|wanted| gpu == Some(wanted));
        if !is_chosen {
            continue;
        }
        let of_libraries = dimensions
            .iter()
            .any(|d| matches!(d, Dimension::Package | Dimension::Origin | Dimension::Direct));
        let rows: Vec<(u8, u8, u8)> = if of_libraries {
            libraries(process)
                .into_iter()
                .map(|((package, origin), asked)| (package, origin, asked))
                .collect()
        } else {
            vec![(0, 0, 0)]
        };
        for (package, origin, asked_for) in rows {
            if of_libraries
                && (filter.origin.as_ref().is_some_and(|wanted| *wanted != format!("origin{origin}"))
                    || filter.direct.is_some_and(|wanted| asked(asked_for).known() != Some(wanted)))
            {
                continue;
            }
            let name = |value: Option<String>| value.map_or(Value::None, Value::Text);
            let values = dimensions
                .iter()
                .map(|dimension| match dimension {
                    Dimension::Package => name(Some(format!("lib{package}"))),
                    Dimension::Origin => name(Some(format!("origin{origin}"))),
                    Dimension::Direct => asked(asked_for).known().map_or(Value::None, Value::Bool),
                    Dimension::Class => name(Some(class.clone())),
                    Dimension::Queue => name(queue.clone()),
                    Dimension::Project => name(project.clone()),
                    Dimension::Day => Value::Number(i64::from(day)),
                    Dimension::User => Value::Number(i64::from(process.user)),
                    Dimension::Gpu => gpu.map_or(Value::None, Value::Bool),
                    Dimension::Nodes if in_job => {
                        job.nodes.map_or(Value::None, |n| Value::Number(i64::from(n)))
                    }
                    _ => Value::None,
                })
                .collect();
            let sum = all.entry(values).or_default();
            sum.0.insert(process.user);
            if in_job {
                sum.1.insert(process.job);
            }
            sum.2.insert((day, process.user, process.job));
        }
    }
    all
}

fn dimension() -> impl Strategy<Value = Dimension> {
    prop::sample::select(vec![
        Dimension::Package,
        Dimension::Origin,
        Dimension::Direct,
        Dimension::Class,
        Dimension::Queue,
        Dimension::Project,
        Dimension::Day,
        Dimension::User,
        Dimension::Gpu,
        Dimension::Nodes,
    ])
}

fn filter() -> impl Strategy<Value = Filter> {
    let maybe = |values: Vec<&'static str>| prop::option::weighted(0.2, prop::sample::select(values));
    (
        prop::option::weighted(0.4, (0i32..6, 0i32..6)),
        prop::option::weighted(0.2, prop::collection::vec(0u32..200, 0..60)),
        maybe(vec!["p0", "p1", "nobody"]),
        maybe(vec!["q0", "q1"]),
        maybe(vec!["class0", "class1"]),
        maybe(vec!["origin0", "origin2"]),
        prop::option::weighted(0.2, any::<bool>()),
        prop::option::weighted(0.2, any::<bool>()),
    )
        .prop_map(|(days, users, project, queue, class, origin, gpu, direct)| Filter {
            days: days.map(|(a, b)| (20_000 + a.min(b), 20_000 + a.max(b))),
            users: users.map(|users| users.into_iter().collect()),
            project: project.map(str::to_owned),
            queue: queue.map(str::to_owned),
            class: class.map(str::to_owned),
            origin: origin.map(str::to_owned),
            gpu,
            direct,
            ..Filter::default()
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn answers_are_those_that_were_counted_one_by_one(
        processes in prop::collection::vec(process(), 0..80),
        filter in filter(),
        dimensions in prop::collection::vec(dimension(), 0..3),
        split in 0usize..7,
    ) {
        let dimensions: Vec<Dimension> = dimensions.into_iter().collect::<BTreeSet<_>>().into_iter().collect();
        let days = parts(&processes);
        let split = split.min(days.len());
        // A month of some days, and the rest as days; all of them through bytes.
        let mut kept: Vec<Part> = days[split..].to_vec();
        if split > 0 {
            kept.push(merged(&days[..split]));
        }
        let kept: Vec<Part> = kept.iter().map(|part| decode(&encode(part), Wanted::ALL).unwrap()).collect();
        let asked: Vec<AskedOf<'_>> = kept.iter().map(|part| (part, None)).collect();
        let question = Question { dimensions: dimensions.clone(), ..Question::default() };
        let answers = answer(&asked, &filter, &question);
        let expected = count(&processes, &filter, &dimensions);
        prop_assert_eq!(answers.len(), expected.len());
        for group in answers {
            let (users, jobs, job_days) = &expected[&group.values];
            prop_assert_eq!(group.users.iter().collect::<Vec<_>>(), users.iter().copied().collect::<Vec<_>>());
            prop_assert_eq!(group.jobs, jobs.len() as f64);
            prop_assert_eq!(group.job_days, job_days.len() as u64);
            let seconds: u64 = jobs.iter().map(|job| {
                let facts = facts(*job);
                u64::from(facts.nodes.unwrap_or(0)) * u64::from(facts.seconds.unwrap_or(0))
            }).sum();
            prop_assert!((group.node_hours - seconds as f64 / 3600.0).abs() < 1e-9);
            prop_assert_eq!(group.jobs_variance, 0.0);
        }
    }

    #[test]
    fn a_part_survives_its_bytes_and_any_bytes_are_no_panic(
        processes in prop::collection::vec(process(), 1..40),
        at in any::<prop::sample::Index>(),
        bit in 0u8..8,
        garbage in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let part = merged(&parts(&processes));
        let mut bytes = encode(&part);
        prop_assert_eq!(&decode(&bytes, Wanted::ALL).unwrap(), &part);
        prop_assert_eq!(peek(&bytes).unwrap(), (part.cluster.clone(), part.days.clone()));
        prop_assert!(decode(&bytes[..at.index(bytes.len())], Wanted::ALL).is_err());
        let place = at.index(bytes.len());
        bytes[place] ^= 1 << bit;
        if let Ok(part) = decode(&bytes, Wanted::ALL) {
            // Whatever it is now: no question makes it panic.
            let question = Question { dimensions: vec![Dimension::Package, Dimension::Day], ..Question::default() };
            answer(&[(&part, None)], &Filter::default(), &question);
        }
        prop_assert!(decode(&garbage, Wanted::ALL).is_err());
    }
}

/// Library and filter, whether there is one, the time, who is behind the answer, and the answer.
type Told = (String, bool, (i32, i32), BTreeSet<u32>, usize);

/// All that may be asked for everybody's eyes.
fn told(parts: &[AskedOf<'_>], least: usize) -> Vec<Told> {
    let (year, half) = ((20_000, 20_005), [(20_000, 20_002), (20_003, 20_005)]);
    let mut filters = vec![Filter::default()];
    filters.extend(["q0", "q1"].map(|q| Filter { queue: Some(q.to_owned()), ..Filter::default() }));
    filters.extend(
        ["class0", "class1", "class2"].map(|c| Filter { class: Some(c.to_owned()), ..Filter::default() }),
    );
    filters.extend([true, false].map(|gpu| Filter { gpu: Some(gpu), ..Filter::default() }));
    let mut all = Vec::new();
    for periods in [vec![year], vec![half[0], year], vec![half[1], year]] {
        for filter in &filters {
            let dimensions = vec![Dimension::Package];
            let question = PublicQuestion { dimensions, packages: None, periods: periods.clone(), least };
            let plain = Question { dimensions: vec![Dimension::Package], ..Question::default() };
            let open = Filter { days: Some(periods[0]), ..filter.clone() };
            let sets: BTreeMap<Vec<Value>, BTreeSet<u32>> = answer(parts, &open, &plain)
                .into_iter()
                .map(|group| (group.values, group.users.iter().collect()))
                .collect();
            for (values, users) in public(parts, filter, &question) {
                let set = sets[&values].clone();
                assert!(users <= set.len() && set.len() < users + least, "{values:?} {filter:?}");
                let is_filtered = filter.queue.is_some() || filter.class.is_some() || filter.gpu.is_some();
                let Value::Text(package) = &values[0] else { panic!("no name") };
                let name =
                    if is_filtered { format!("{package}  {filter:?}") } else { format!("{package}  ") };
                all.push((name, is_filtered, periods[0], set, users));
            }
        }
    }
    all
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn no_two_public_answers_differ_by_a_few(
        processes in prop::collection::vec(process(), 0..160),
        least in 2usize..6,
    ) {
        let days = parts(&processes);
        let asked: Vec<AskedOf<'_>> = days.iter().map(|part| (part, None)).collect();
        let all = told(&asked, least);
        for (name, _, period, set, users) in &all {
            prop_assert!(set.len() >= least);
            for (other, is_filtered, longer, others, more_users) in &all {
                let differ = users.abs_diff(*more_users);
                prop_assert!(differ == 0 || differ >= least);
                // A larger cell: the same one in a longer time, or without the filter, or both.
                let is_around = longer.0 <= period.0 && longer.1 >= period.1;
                if is_around && (name == other || (!is_filtered && name[..6] == other[..6])) {
                    let more = others.difference(set).count();
                    prop_assert!(others.is_superset(set) && (more == 0 || more >= least), "{name} {period:?} {other} {longer:?}");
                }
            }
        }
    }
}

#[test]
fn what_is_not_told_is_no_single_person() {
    // Six people in q0, six in q1, and one of neither: who knows the whole and the two would know of him.
    let process = |user, job| Process { day: 0, user, job, class: 0, python: true, loads: vec![(1, 0, 1)] };
    let mut processes: Vec<Process> = (0..6).map(|n| process(n, 2 * u64::from(n) + 2)).collect();
    processes.extend((10..16).map(|n| process(n, 2 * u64::from(n) + 1)));
    processes.push(process(99, 0));
    let days = parts(&processes);
    let asked: Vec<AskedOf<'_>> = days.iter().map(|part| (part, None)).collect();
    let ask = |queue: &str| {
        let filter = Filter { queue: Some(queue.to_owned()), ..Filter::default() };
        let periods = vec![(20_000, 20_000)];
        let question =
            PublicQuestion { dimensions: vec![Dimension::Package], packages: None, periods, least: 5 };
        public(&asked, &filter, &question).len()
    };
    assert_eq!(ask("q0") + ask("q1"), 1, "one of the two is not told");
}

#[test]
fn samples_are_weighed_and_say_how_sure_they_are() {
    let mut builder = Builder::new("c", 20_000, 0);
    let numpy =
        Package { package: builder.text("numpy"), distribution: 0, version: 0, origin: 0, is_library: true };
    let numpy = builder.package(numpy);
    // One in 100, twice; one that is certain; and one of which two processes were seen, each with one half.
    for (job, chances) in
        [(1, vec![10_000]), (2, vec![10_000]), (3, vec![1_000_000]), (4, vec![500_000, 500_000])]
    {
        let job_day =
            builder.job_day(job as u32, Some(JobFacts { nodes: Some(2), seconds: Some(1800), ..facts(job) }));
        for probability in chances {
            let process = builder
                .process(job_day, ProcessFacts { is_python: true, probability, ..ProcessFacts::default() });
            builder.load(process, numpy, Asked::Yes);
        }
    }
    let part = builder.finish();
    let question = Question { dimensions: vec![Dimension::Package], ..Question::default() };
    let group = &answer(&[(&part, None)], &Filter::default(), &question)[0];
    // 100 + 100 + 1 + 1 / (1 - 1/4)
    assert!((group.jobs - (201.0 + 4.0 / 3.0)).abs() < 1e-6, "{}", group.jobs);
    // (1 - p) / p² each
    let variance = 2.0 * 0.99 / 0.0001 + 0.25 / (0.75 * 0.75);
    assert!((group.jobs_variance - variance).abs() < 1e-3, "{}", group.jobs_variance);
    assert!((group.node_hours - group.jobs).abs() < 1e-6, "2 nodes for half an hour");
    assert_eq!(group.users.len(), 4, "people are never made up");
    assert_eq!((group.jobs_seen, group.node_hours_seen), (4, 4.0));
}

#[test]
fn days_that_are_elsewhere_are_left_out() {
    let process =
        |day| Process { day, user: day as u32, job: 3, class: 0, python: true, loads: vec![(1, 0, 1)] };
    let all = [process(0), process(1), process(2)];
    let month = merged(&parts(&all));
    let day = parts(&[Process { user: 9, ..process(1) }]);
    let without = merge(&[(&month, Some(&[20_000]))]);
    assert_eq!((without.days.len(), without.job_days.len()), (1, 1));
    let named = |part: &Part| part.texts.iter().any(|text| text == "lib5");
    let month =
        merge(&[(&month, None), (&parts(&[Process { loads: vec![(5, 0, 1)], ..process(4) }])[0], None)]);
    assert!(named(&month) && !named(&merge(&[(&month, Some(&[20_000, 20_001, 20_002]))])), "no name stays");
    let question = Question { dimensions: vec![Dimension::Package], ..Question::default() };
    let asked = [(&month, Some(&[20_000, 20_002][..])), (&day[0], None)];
    let group = &answer(&asked, &Filter::default(), &question)[0];
    assert_eq!(group.users.iter().collect::<Vec<_>>(), [0, 2, 9]);
    assert_eq!((group.jobs, group.job_days), (1.0, 3));
}

#[test]
fn fields_of_science_hold_for_their_time() {
    let process = |day| Process { day, user: 1, job: 4, class: 0, python: true, loads: vec![] };
    let parts = parts(&[process(0), process(1), process(2)]);
    let fields = [(
        "p1".to_owned(),
        vec![(None, Some(20_000), "Chemistry".to_owned()), (Some(20_002), None, "Physics".to_owned())],
    )];
    let mut filter = Filter { fields: fields.into_iter().collect(), ..Filter::default() };
    let asked: Vec<AskedOf<'_>> = parts.iter().map(|part| (part, None)).collect();
    let question = Question { dimensions: vec![Dimension::Domain], ..Question::default() };
    let days = |filter: &Filter| {
        let groups = answer(&asked, filter, &question);
        groups.iter().map(|group| (group.values[0].clone(), group.job_days)).collect::<Vec<_>>()
    };
    let text = |text: &str| Value::Text(text.to_owned());
    assert_eq!(days(&filter), [(Value::None, 1), (text("Chemistry"), 1), (text("Physics"), 1)]);
    filter.domain = Some("Physics".to_owned());
    assert_eq!(days(&filter), [(text("Physics"), 1)]);
}

#[test]
fn loads_count_where_they_come_from() {
    let mut builder = Builder::new("c", 20_000, 0);
    let home = builder.text("home");
    let base = builder.text("base");
    let job_day = builder.job_day(5, Some(facts(2)));
    let facts = ProcessFacts { is_python: true, probability: 1_000_000, ..ProcessFacts::default() };
    let (first, second) = (builder.process(job_day, facts), builder.process(job_day, facts));
    // An hour, and half an hour, module by module.
    (0..10).for_each(|_| builder.from_origin(first, home, Asked::Yes, 360_000_000, true));
    (0..5).for_each(|_| builder.from_origin(second, home, Asked::No, 360_000_000, false));
    builder.from_origin(second, base, Asked::Yes, 0, false);
    let part = builder.finish();
    let all = loads(&[(&part, None)], &Filter::default(), &[]);
    let of = |origin: &str| all.iter().find(|loads| loads.origin == origin).unwrap();
    assert_eq!((of("home").modules, of("home").process_hours), (15.0, 1.5));
    // Job 2 has 3 nodes: an hour on each, and half an hour on one.
    assert_eq!(of("home").node_hours, 3.5);
    assert_eq!(of("base").users.len(), 1);
    let direct = Filter { direct: Some(true), ..Filter::default() };
    let asked = loads(&[(&part, None)], &direct, &[]);
    assert_eq!(asked.iter().map(|one| one.modules).collect::<Vec<_>>(), [1.0, 10.0]);
    let class = Filter { class: Some("own".to_owned()), ..Filter::default() };
    assert!(loads(&[(&part, None)], &class, &[]).is_empty());
}

#[test]
fn pairs_are_job_days_with_both() {
    let process = |day, job, loads| Process { day, user: 7, job, class: 0, python: true, loads };
    let parts = parts(&[
        process(0, 1, vec![(1, 0, 1)]),
        // Another process of the same job-day.
        process(0, 1, vec![(2, 0, 0)]),
        process(1, 1, vec![(1, 0, 1)]),
        process(1, 2, vec![]),
    ]);
    let asked: Vec<AskedOf<'_>> = parts.iter().map(|part| (part, None)).collect();
    let packages = ["lib1".to_owned(), "lib2".to_owned(), "nothing".to_owned()];
    let all = pairs(&asked, &Filter::default(), &packages);
    let of = |a: usize, b: usize| &all[a * 3 + b];
    assert_eq!((of(0, 1).together, of(1, 0).together, of(0, 0).together), (1, 1, 2));
    assert_eq!((of(0, 1).of_package, of(0, 1).of_other, of(0, 1).of_all, of(2, 2).together), (2, 1, 3, 0));
}
