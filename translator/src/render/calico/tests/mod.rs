//! Tests of whole renderings.
