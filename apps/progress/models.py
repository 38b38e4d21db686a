"""Progress stores nothing: it reads what the apps below it keep."""
