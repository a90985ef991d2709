//! The hook in processes that end, start and misbehave in every way.

mod attacks;
mod cgroup;
mod check;
mod collect;
mod crowds;
mod disturbance;
mod document;
mod endings;
mod matrix;
mod never;
mod pythons;
mod spool;
mod support;
mod truth;
mod ways;

#[test]
fn every_process_is_seen() {
    matrix::every_process_is_seen();
}

#[test]
fn older_pythons_leave_a_record_of_the_process() {
    matrix::older_pythons_leave_a_record_of_the_process();
}

#[test]
fn without_the_hook_nothing_is_seen() {
    matrix::without_the_hook_nothing_is_seen();
}
