//! Whole-system tests of Lifeline.
