//! What init decides about processes whose parent has died (`--orphans end`): a state machine without system
//! calls.
//!
//! Every orphan becomes a child of init, and has one grace to end by itself. Then it and all that descends from it get
//! SIGTERM, and SIGKILL 2 s later, or at once if they do nothing on SIGTERM. Who is a child of init comes in, signals come
//! out; time is what the caller says it is.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

/// How often init looks for orphans.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How often while some are being ended.
const LOOK_WHILE_ENDING: Duration = Duration::from_millis(100);

/// From SIGTERM to SIGKILL, once the grace is over.
const LAST_GRACE: Duration = Duration::from_secs(2);

/// How many names of what was ended are told.
const NAMES: usize = 32;

/// Since some moment, on a clock that does not go back.
pub(crate) type Time = Duration;

/// A process, told apart from a later one with the same PID by its start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Id {
    pub(crate) pid: i32,
    pub(crate) start: u64,
}

/// A process that has not ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Process {
    pub(crate) id: Id,
    pub(crate) parent: i32,
    pub(crate) name: String,
}

/// Looks at processes, for the few moments in which that is needed.
pub(crate) trait Look {
    /// All that are alive.
    fn all(&mut self) -> Vec<Process>;
    /// Whether it does something on SIGTERM, and so may need time to finish.
    fn handles_term(&mut self, pid: i32) -> bool;
    /// Whether it is known to make an orphan of itself and to be needed all the same.
    fn is_spared(&mut self, pid: i32) -> bool;
}

/// What init is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Deed {
    /// SIGTERM, and SIGCONT so that a stopped process can act on it.
    Term(Id),
    /// SIGKILL.
    Kill(Id),
    /// That many were ended; the names of the first of them.
    Tell(u64, Vec<String>),
}

/// An orphan and its descendants, which are being ended.
#[derive(Debug)]
struct Ending {
    /// SIGKILL then.
    until: Time,
    /// Who got a signal, and whether it was SIGKILL.
    members: HashMap<Id, bool>,
    names: Vec<String>,
}

#[derive(Debug)]
pub(crate) struct Orphans {
    grace: Option<Duration>,
    main: i32,
    /// Children of init by PID, and since when: an unreaped child's PID is not used again.
    since: HashMap<i32, Time>,
    /// Orphans that stay.
    spared: HashSet<i32>,
    endings: Vec<Ending>,
    next: Time,
}

impl Orphans {
    pub(crate) fn new(grace: Option<Duration>, main: i32) -> Self {
        Orphans {
            grace,
            main,
            since: HashMap::new(),
            spared: HashSet::new(),
            endings: Vec::new(),
            next: LOOK_EVERY,
        }
    }

    /// When [`Orphans::look`] is due.
    pub(crate) fn next_look(&self) -> Time {
        self.next
    }

    /// A child of init was waited for: its PID may be used again.
    pub(crate) fn gone(&mut self, pid: i32) {
        self.since.remove(&pid);
        self.spared.remove(&pid);
    }

    /// Looks at init's children and decides.
    pub(crate) fn look(&mut self, now: Time, children: &[i32], look: &mut dyn Look) -> Vec<Deed> {
        let main = self.main;
        for pid in children.iter().copied().filter(|pid| *pid != main && !self.spared.contains(pid)) {
            self.since.entry(pid).or_insert(now);
        }
        let over = |since: Time| self.grace.is_some_and(|grace| now >= since + grace);
        let due: Vec<i32> =
            self.since.iter().filter(|(_, since)| over(**since)).map(|(pid, _)| *pid).collect();
        // Asked only now: what it is called it may have become since.
        let (spared, due): (Vec<i32>, Vec<i32>) = due.into_iter().partition(|pid| look.is_spared(*pid));
        for pid in spared {
            self.since.remove(&pid);
            self.spared.insert(pid);
        }
        let mut deeds = Vec::new();
        if !due.is_empty() || !self.endings.is_empty() {
            let all = look.all();
            let tree = Tree::of(&all);
            self.go_on(now, &tree, &mut deeds);
            self.begin(now, due, &tree, look, &mut deeds);
        }
        // One that waits in the kernel may stay for ever.
        let soon = self.endings.iter().any(|e| now < e.until);
        self.next = now + if soon { LOOK_WHILE_ENDING } else { LOOK_EVERY };
        deeds
    }

    /// What is being ended already: SIGKILL for what is left, and a word when none is.
    fn go_on(&mut self, now: Time, tree: &Tree<'_>, deeds: &mut Vec<Deed>) {
        let (mut ended, mut names) = (0, Vec::new());
        self.endings.retain_mut(|ending| {
            // With what they have started since.
            let left = tree.below(|p| ending.members.contains_key(&p.id));
            if left.is_empty() {
                ended += ending.members.len() as u64;
                names.append(&mut ending.names);
                return false;
            }
            if now >= ending.until {
                for process in left {
                    if ending.members.insert(process.id, true) != Some(true) {
                        deeds.push(Deed::Kill(process.id));
                    }
                }
            }
            true
        });
        if ended > 0 {
            names.truncate(NAMES);
            deeds.push(Deed::Tell(ended, names));
        }
    }

    /// Begins with those whose grace is over.
    fn begin(
        &mut self,
        now: Time,
        due: Vec<i32>,
        tree: &Tree<'_>,
        look: &mut dyn Look,
        deeds: &mut Vec<Deed>,
    ) {
        for pid in due {
            let under_way = |id: &Id| self.endings.iter().any(|e| e.members.contains_key(id));
            let members = tree.below(|p| p.id.pid == pid && !under_way(&p.id));
            if members.is_empty() {
                continue;
            }
            let mut ending = Ending { until: now + LAST_GRACE, members: HashMap::new(), names: Vec::new() };
            for process in members {
                let finishes = look.handles_term(process.id.pid);
                deeds.push(Deed::Term(process.id));
                if !finishes {
                    deeds.push(Deed::Kill(process.id));
                }
                ending.members.insert(process.id, !finishes);
                ending.names.push(process.name.clone());
            }
            self.endings.push(ending);
        }
    }
}

/// Processes, each with its children.
struct Tree<'a> {
    all: &'a [Process],
    children: HashMap<i32, Vec<&'a Process>>,
}

impl<'a> Tree<'a> {
    fn of(all: &'a [Process]) -> Self {
        let mut children: HashMap<i32, Vec<&Process>> = HashMap::new();
        for process in all {
            children.entry(process.parent).or_default().push(process);
        }
        Tree { all, children }
    }

    /// These that are in the tree, and all that descends from them.
    fn below(&self, is_root: impl Fn(&Process) -> bool) -> Vec<&'a Process> {
        let mut found: Vec<&Process> = self.all.iter().filter(|p| is_root(p)).collect();
        let mut seen: HashSet<i32> = found.iter().map(|p| p.id.pid).collect();
        let mut at = 0;
        while let Some(process) = found.get(at) {
            // Read one after another, the processes may seem to go in a circle.
            let below = self.children.get(&process.id.pid).into_iter().flatten();
            found.extend(below.filter(|p| seen.insert(p.id.pid)));
            at += 1;
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: fn(u64) -> Duration = Duration::from_secs;
    const MAIN: i32 = 2;

    /// A namespace: what lives in it, and who handles SIGTERM.
    #[derive(Default)]
    struct World {
        all: Vec<Process>,
        handlers: Vec<i32>,
        spared: Vec<i32>,
        looks: usize,
    }

    impl Look for World {
        fn all(&mut self) -> Vec<Process> {
            self.looks += 1;
            self.all.clone()
        }

        fn handles_term(&mut self, pid: i32) -> bool {
            self.handlers.contains(&pid)
        }

        fn is_spared(&mut self, pid: i32) -> bool {
            self.spared.contains(&pid)
        }
    }

    fn id(pid: i32) -> Id {
        Id { pid, start: pid as u64 * 10 }
    }

    fn world(pairs: &[(i32, i32)]) -> World {
        let process =
            |(pid, parent): &(i32, i32)| Process { id: id(*pid), parent: *parent, name: format!("p{pid}") };
        World { all: pairs.iter().map(process).collect(), ..World::default() }
    }

    fn sorted(mut deeds: Vec<Deed>) -> Vec<Deed> {
        deeds.sort_by_key(|d| match d {
            Deed::Term(id) => (id.pid, 0),
            Deed::Kill(id) => (id.pid, 1),
            Deed::Tell(..) => (i32::MAX, 2),
        });
        deeds
    }

    #[test]
    fn an_orphan_has_its_grace_and_then_ends_with_its_descendants() {
        let mut orphans = Orphans::new(Some(S(10)), MAIN);
        // 3 is main's child, 5 an orphan with the child 6 and the grandchild 7.
        let mut world = world(&[(1, 0), (2, 1), (3, 2), (5, 1), (6, 5), (7, 6)]);
        for at in 1..11 {
            assert_eq!(orphans.look(S(at), &[2, 5], &mut world), []);
            assert_eq!(orphans.next_look(), S(at + 1));
        }
        // All processes are looked at only when there is a reason.
        assert_eq!(world.looks, 0);
        let deeds = sorted(orphans.look(S(11), &[2, 5], &mut world));
        let both = |pid| [Deed::Term(id(pid)), Deed::Kill(id(pid))];
        assert_eq!(deeds, [5, 6, 7].map(both).concat());
        world.all.retain(|p| p.id.pid < 5);
        orphans.gone(5);
        assert_eq!(orphans.next_look(), S(11) + LOOK_WHILE_ENDING);
        let names = ["p5", "p6", "p7"].map(str::to_owned).to_vec();
        assert_eq!(orphans.look(S(12), &[2], &mut world), [Deed::Tell(3, names)]);
        assert_eq!(orphans.next_look(), S(13));
        assert_eq!(orphans.look(S(13), &[2], &mut world), []);
    }

    #[test]
    fn who_handles_sigterm_has_two_seconds_more() {
        let mut orphans = Orphans::new(Some(S(1)), MAIN);
        let mut world = world(&[(2, 1), (5, 1), (6, 5)]);
        world.handlers = vec![5];
        orphans.look(S(1), &[2, 5], &mut world);
        let deeds = sorted(orphans.look(S(2), &[2, 5], &mut world));
        assert_eq!(deeds, [Deed::Term(id(5)), Deed::Term(id(6)), Deed::Kill(id(6))]);
        // In its handler it starts another one.
        world.all.retain(|p| p.id.pid != 6);
        world.all.push(Process { id: id(8), parent: 5, name: "new".to_owned() });
        assert_eq!(orphans.look(S(3), &[2, 5], &mut world), []);
        assert_eq!(sorted(orphans.look(S(4), &[2, 5], &mut world)), [Deed::Kill(id(5)), Deed::Kill(id(8))]);
        // Each once.
        assert_eq!(orphans.look(S(5), &[2, 5], &mut world), []);
        world.all.truncate(1);
        assert!(matches!(orphans.look(S(6), &[2], &mut world)[..], [Deed::Tell(3, _)]));
    }

    #[test]
    fn what_ends_in_its_grace_is_not_spoken_of() {
        let mut orphans = Orphans::new(Some(S(10)), MAIN);
        let mut world = world(&[(2, 1), (5, 1)]);
        orphans.look(S(1), &[2, 5], &mut world);
        orphans.gone(5);
        // The PID is used again, by another orphan: it has a grace of its own.
        orphans.look(S(9), &[2, 5], &mut world);
        assert_eq!(orphans.look(S(12), &[2, 5], &mut world), []);
        assert!(!orphans.look(S(19), &[2, 5], &mut world).is_empty());
    }

    #[test]
    fn one_that_is_spared_stays_and_is_not_looked_at_again() {
        let mut orphans = Orphans::new(Some(S(1)), MAIN);
        let mut world = world(&[(2, 1), (5, 1), (6, 5)]);
        world.spared = vec![5];
        for at in 1..20 {
            assert_eq!(orphans.look(S(at), &[2, 5], &mut world), []);
        }
        assert_eq!(world.looks, 0);
        // Its child is another matter once it has died.
        world.all.retain(|p| p.id.pid != 5);
        orphans.gone(5);
        orphans.look(S(20), &[2, 6], &mut world);
        assert!(!orphans.look(S(21), &[2, 6], &mut world).is_empty());
    }

    #[test]
    fn a_child_that_one_reading_missed_keeps_its_clock() {
        let mut orphans = Orphans::new(Some(S(3)), MAIN);
        let mut world = world(&[(2, 1), (5, 1)]);
        orphans.look(S(1), &[2, 5], &mut world);
        orphans.look(S(2), &[2], &mut world);
        assert!(!orphans.look(S(4), &[2], &mut world).is_empty());
    }

    #[test]
    fn without_a_grace_nothing_is_ended() {
        let mut orphans = Orphans::new(None, MAIN);
        let mut world = world(&[(2, 1), (5, 1)]);
        for at in 1..100 {
            assert_eq!(orphans.look(S(at * 1000), &[2, 5], &mut world), []);
        }
    }

    #[test]
    fn main_and_what_has_a_parent_are_never_touched() {
        let mut orphans = Orphans::new(Some(S(0)), MAIN);
        let mut world = world(&[(2, 1), (3, 2), (4, 3), (5, 1)]);
        assert_eq!(sorted(orphans.look(S(1), &[2, 5], &mut world)), [Deed::Term(id(5)), Deed::Kill(id(5))]);
        world.all.retain(|p| p.id.pid != 5);
        orphans.gone(5);
        orphans.look(S(2), &[2], &mut world);
        for at in 3..50 {
            assert_eq!(orphans.look(S(at), &[2], &mut world), []);
        }
    }

    #[test]
    fn one_that_cannot_be_killed_is_looked_for_less_often() {
        let mut orphans = Orphans::new(Some(S(0)), MAIN);
        let mut world = world(&[(2, 1), (5, 1)]);
        assert_eq!(orphans.look(S(1), &[2, 5], &mut world).len(), 2);
        orphans.look(S(3), &[2, 5], &mut world);
        assert_eq!(orphans.next_look(), S(3) + LOOK_EVERY);
    }

    #[test]
    fn processes_that_seem_to_go_in_a_circle() {
        let mut orphans = Orphans::new(Some(S(0)), MAIN);
        let mut world = world(&[(2, 1), (5, 6), (6, 5)]);
        assert_eq!(orphans.look(S(1), &[2, 5], &mut world).len(), 4);
    }
}
