//! End to end: the real program, real files, real signals.
//!
//! Each test has a folder and ports of its own and can run beside the others.

mod gatemeter;
mod referee;
mod beside;
mod disk;
mod stack;
mod queries;

mod alerts;
mod bombs;
mod broken;
mod browser;
mod chaos;
mod cluster;
mod churn;
mod crash;
mod first_run;
mod frontend;
mod gateway;
mod name_server;
mod moving;
mod leaving;
mod shapes;
mod packed;
mod locked;
mod upgrade;
mod backups;
mod estimates;
mod page;
mod prometheus;
mod scripts;
mod totals;
mod late;
mod letters;
mod texts;
