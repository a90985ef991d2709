//! What the screen shows and what the keys do to it, without a terminal.

use std::cmp::Ordering;

use super::keys::Key as Pressed;
use super::look::{Key, Part, Row, View};

/// What a table is sorted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sort {
    Cpu,
    Memory,
    Time,
    User,
    Processes,
}

/// What is to be done after a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Deed {
    Nothing,
    /// Look at once: something else is to be shown.
    Look,
    Suspend,
    /// Draw all anew: somebody else has written on the terminal.
    Redraw,
    Quit,
}

/// What is shown.
#[derive(Clone, Debug)]
pub(crate) struct Screen {
    pub(crate) sort: Sort,
    pub(crate) reverse: bool,
    pub(crate) filter: String,
    /// The filter is being typed.
    pub(crate) typing: bool,
    pub(crate) help: bool,
    pub(crate) paused: bool,
    /// The run that is looked into.
    pub(crate) into: Option<Key>,
    /// The run that is marked, and where it was seen last.
    pub(crate) marked: Option<Key>,
    pub(crate) at: usize,
    /// First process that is shown of the run that is looked into.
    pub(crate) first: usize,
    /// Lines that the table had when it was drawn last.
    pub(crate) page: usize,
}

impl Default for Screen {
    fn default() -> Self {
        Screen {
            sort: Sort::Cpu,
            reverse: false,
            filter: String::new(),
            typing: false,
            help: false,
            paused: false,
            into: None,
            marked: None,
            at: 0,
            first: 0,
            page: 10,
        }
    }
}

/// Largest first; what is not known comes last.
fn order<T: PartialOrd>(a: Option<T>, b: Option<T>) -> Ordering {
    b.partial_cmp(&a).unwrap_or(Ordering::Equal)
}

impl Screen {
    /// The rows in the order in which they are shown, each with how deep it lies in other runs.
    pub(crate) fn rows<'a>(&self, view: &'a View) -> Vec<(usize, &'a Row)> {
        let by = |a: &&Row, b: &&Row| {
            let order = match self.sort {
                Sort::Cpu => order(a.cpu, b.cpu),
                Sort::Memory => order(a.memory.map(|m| m.bytes), b.memory.map(|m| m.bytes)),
                Sort::Time => order(a.elapsed, b.elapsed),
                Sort::User => a.user.cmp(&b.user),
                Sort::Processes => order(Some(a.processes), Some(b.processes)),
            };
            let order = if self.reverse { order.reverse() } else { order };
            order.then_with(|| a.key.cmp(&b.key))
        };
        let mut rows: Vec<&Row> = view.rows.iter().filter(|row| self.fits(row)).collect();
        rows.sort_by(by);
        let shown = |id| rows.iter().any(|row| row.key.0 == id);
        let mut out = Vec::new();
        // Runs in a run stand below it.
        let mut open: Vec<(usize, &Row)> =
            rows.iter().rev().filter(|r| !r.inside.is_some_and(shown)).map(|r| (0, *r)).collect();
        while let Some((depth, row)) = open.pop() {
            out.push((depth, row));
            let inner = rows.iter().rev().filter(|r| r.inside == Some(row.key.0) && depth < 32);
            open.extend(inner.map(|r| (depth + 1, *r)));
        }
        out
    }

    fn fits(&self, row: &Row) -> bool {
        let has = |text: &str| text.to_lowercase().contains(&self.filter.to_lowercase());
        self.filter.is_empty()
            || has(&row.user)
            || has(&row.command.join(" "))
            || has(&row.key.1.to_string())
            || has(&row.key.0.to_string())
    }

    /// The processes of a run in the order in which they are shown.
    pub(crate) fn parts<'a>(&self, row: &'a Row) -> Vec<&'a Part> {
        let mut parts: Vec<&Part> = row.parts.iter().collect();
        parts.sort_by(|a, b| {
            let order = match self.sort {
                Sort::Cpu => order(a.cpu, b.cpu),
                Sort::Memory => order(a.memory, b.memory),
                Sort::Time => order(a.elapsed, b.elapsed),
                Sort::User => a.name.cmp(&b.name),
                Sort::Processes => Ordering::Equal,
            };
            let order = if self.reverse { order.reverse() } else { order };
            order.then(a.pid.cmp(&b.pid))
        });
        parts
    }

    /// Finds the mark again after a look: a run that has ended gives it to its neighbour.
    pub(crate) fn settle(&mut self, view: &View) {
        let rows = self.rows(view);
        let found = rows.iter().position(|(_, row)| Some(row.key) == self.marked);
        self.at = found.unwrap_or(self.at).min(rows.len().saturating_sub(1));
        self.marked = rows.get(self.at).map(|(_, row)| row.key);
        if let Some(into) = self.into {
            match view.rows.iter().find(|row| row.key == into) {
                Some(row) => {
                    self.first = self.first.min(row.parts.len().saturating_sub(self.page));
                }
                None => self.into = None,
            }
        }
    }

    fn go(&mut self, view: &View, by: isize) {
        match self.into {
            Some(_) => self.first = self.first.saturating_add_signed(by),
            None => {
                self.at = self.at.saturating_add_signed(by);
                self.marked = None;
            }
        }
        self.settle(view);
    }

    /// A key was pressed.
    pub(crate) fn key(&mut self, key: Pressed, view: &View) -> Deed {
        match key {
            Pressed::Control('c') => return Deed::Quit,
            Pressed::Control('z') => return Deed::Suspend,
            Pressed::Control('l') => return Deed::Redraw,
            Pressed::Control(_) | Pressed::Other => return Deed::Nothing,
            _ => {}
        }
        if self.typing {
            self.type_filter(key);
            self.settle(view);
            return Deed::Nothing;
        }
        if self.help {
            self.help = false;
            return Deed::Nothing;
        }
        let page = self.page.max(2) as isize - 1;
        match key {
            Pressed::Char('q') => return Deed::Quit,
            Pressed::Esc | Pressed::Backspace | Pressed::Left => {
                if self.into.take().is_some() {
                    self.first = 0;
                } else if !self.filter.is_empty() {
                    self.filter.clear();
                } else if key == Pressed::Esc {
                    return Deed::Quit;
                }
            }
            Pressed::Enter | Pressed::Right if self.into.is_none() => {
                self.into = self.marked;
                self.first = 0;
                return Deed::Look;
            }
            Pressed::Down | Pressed::Char('j') => self.go(view, 1),
            Pressed::Up | Pressed::Char('k') => self.go(view, -1),
            Pressed::PageDown => self.go(view, page),
            Pressed::PageUp => self.go(view, -page),
            Pressed::Home => self.go(view, isize::MIN / 2),
            Pressed::End => self.go(view, isize::MAX / 2),
            Pressed::Char('c') => self.sort = Sort::Cpu,
            Pressed::Char('m') => self.sort = Sort::Memory,
            Pressed::Char('t') => self.sort = Sort::Time,
            Pressed::Char('u') => self.sort = Sort::User,
            Pressed::Char('p') => self.sort = Sort::Processes,
            Pressed::Char('r') => self.reverse = !self.reverse,
            Pressed::Char('/') => {
                self.into = None;
                self.typing = true;
            }
            Pressed::Char('?' | 'h') => self.help = true,
            Pressed::Char(' ') => {
                self.paused = !self.paused;
                return if self.paused { Deed::Nothing } else { Deed::Look };
            }
            _ => {}
        }
        self.settle(view);
        Deed::Nothing
    }

    fn type_filter(&mut self, key: Pressed) {
        match key {
            Pressed::Enter => self.typing = false,
            Pressed::Esc => {
                self.typing = false;
                self.filter.clear();
            }
            Pressed::Backspace => {
                self.filter.pop();
            }
            Pressed::Char(c) if !c.is_control() && self.filter.chars().count() < 200 => self.filter.push(c),
            _ => {}
        }
    }
}
