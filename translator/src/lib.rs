//! Port matrix to policy objects.
