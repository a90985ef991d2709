//! Writes segments, one behind the other, and counts what is in them.

use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::io::BufWriter;
use std::path::PathBuf;

use terrarium_segment::{Head, Load, Module, Process, Writer, rounded};

use super::World;
use super::loads::{Modules, Prepared, Row};
use super::truth::Truth;
use crate::Result;

pub(super) const CLUSTER: &str = "cedar";

/// A segment is ended when it has so many module rows.
const MOST_ROWS: u64 = 450_000;

const NONE: u32 = u32::MAX;

pub(super) struct Segments<'a> {
    world: &'a World,
    directory: PathBuf,
    /// Day of the period, and number on that day.
    day: i64,
    number: u32,
    open: Option<Open>,
    /// Sums of what was written.
    pub(super) truth: Truth,
    environments: HashSet<String>,
    pub(super) rows: u64,
    pub(super) processes: u64,
}

struct Open {
    writer: Writer<BufWriter<File>>,
    path: PathBuf,
    /// From numbers of ours to those of this segment.
    modules: Vec<u32>,
    names: Vec<u32>,
    environments: HashMap<String, u32>,
}

impl<'a> Segments<'a> {
    pub(super) fn new(world: &'a World, directory: PathBuf) -> Result<Self> {
        fs::create_dir_all(&directory).map_err(|e| format!("{}: {e}", directory.display()))?;
        if fs::read_dir(&directory).map_err(|e| format!("{}: {e}", directory.display()))?.next().is_some() {
            return Err(format!("{} is not empty: name another place with --out", directory.display()));
        }
        Ok(Segments {
            world,
            directory,
            day: 0,
            number: 0,
            open: None,
            truth: Truth::new(&world.period),
            environments: HashSet::new(),
            rows: 0,
            processes: 0,
        })
    }

    /// What comes is of this day of the period.
    pub(super) fn begin(&mut self, day: i64) -> Result {
        self.finish()?;
        (self.day, self.number) = (day, 0);
        Ok(())
    }

    fn open(&mut self) -> Result<Open> {
        let day = self.world.period.first + self.day;
        let name = format!("{}-{:03}.segment", super::dice::date(day), self.number);
        self.number += 1;
        let path = self.directory.join(name);
        let file =
            File::create(path.with_extension("tmp")).map_err(|e| format!("{}: {e}", path.display()))?;
        let head = Head {
            cluster: CLUSTER.to_owned(),
            host: "admin1".to_owned(),
            made_ms: (day + 1) * 86_400_000,
            terrarium: env!("CARGO_PKG_VERSION").to_owned(),
            pseudonyms: false,
            source: "terrarium".to_owned(),
        };
        let writer = Writer::new(BufWriter::with_capacity(1 << 20, file), &head)
            .map_err(|e| format!("{}: {e}", path.display()))?;
        let names = vec![NONE; self.world.catalogue.names.len()];
        Ok(Open { writer, path, modules: Vec::new(), names, environments: HashMap::new() })
    }

    /// Writes a process with these rows, their times by a factor in 256ths.
    pub(super) fn process(
        &mut self,
        process: &mut Process,
        of: Option<(&Prepared, &[Row], u32)>,
        objects: &[&'static str],
        modules: &Modules,
        user: usize,
    ) -> Result {
        let mut open = match self.open.take() {
            Some(open) => open,
            None => self.open()?,
        };
        process.loads.clear();
        process.objects.clear();
        process.environment = None;
        if let Some((prepared, rows, factor)) = of {
            process.environment = Some(self.environment(&mut open, prepared));
            open.modules.resize(modules.all.len(), NONE);
            process.loads.reserve(rows.len());
            for row in rows {
                let mut module = open.modules[row.module as usize];
                if module == NONE {
                    module = open.writer.module(&self.module(modules, row.module));
                    open.modules[row.module as usize] = module;
                }
                let mut importer = open.names[row.importer as usize];
                if importer == NONE {
                    importer = open.writer.name(&self.world.catalogue.names[row.importer as usize].text);
                    open.names[row.importer as usize] = importer;
                }
                let took = rounded((u64::from(row.took) * u64::from(factor)) >> 8) + 1;
                process.loads.push(Load { module, importer, direct: row.direct.into(), took });
            }
        }
        process.objects.extend(objects.iter().map(|name| open.writer.name(name)));
        open.writer.process(process).map_err(|e| format!("{}: {e}", open.path.display()))?;
        self.truth.process(process, user);
        self.rows += process.loads.len() as u64;
        self.processes += 1;
        let is_full = open.writer.rows() >= MOST_ROWS;
        self.open = Some(open);
        if is_full { self.finish() } else { Ok(()) }
    }

    fn environment(&mut self, open: &mut Open, prepared: &Prepared) -> u32 {
        let id = &prepared.installation.id;
        if let Some(number) = open.environments.get(id) {
            return *number;
        }
        let environment = prepared.installation.environment(&self.world.catalogue, &self.world.period);
        let number = open.writer.environment(&environment);
        open.environments.insert(id.clone(), number);
        if self.environments.insert(id.clone()) {
            self.truth.environments += 1;
        }
        number
    }

    fn module(&self, modules: &Modules, number: u32) -> Module {
        let module = modules.all[number as usize];
        let catalogue = &self.world.catalogue;
        let name = &catalogue.names[module.name as usize];
        let (origin, place) = &modules.places[module.place as usize];
        let of = module.of.map(|(library, release)| (&catalogue.libraries[library as usize], release));
        Module {
            name: name.text.clone(),
            distribution: of.map(|(library, _)| library.distribution.clone()),
            version: of.map(|(library, release)| library.version(release, self.world.period.first)),
            origin: (*origin).to_owned(),
            place: place.clone(),
            kind: name.kind,
        }
    }

    /// Seals the one that is open.
    pub(super) fn finish(&mut self) -> Result {
        let Some(open) = self.open.take() else { return Ok(()) };
        let failed = |e: std::io::Error| format!("{}: {e}", open.path.display());
        open.writer.finish().map_err(failed)?;
        fs::rename(open.path.with_extension("tmp"), &open.path).map_err(failed)?;
        self.truth.segments += 1;
        Ok(())
    }
}
