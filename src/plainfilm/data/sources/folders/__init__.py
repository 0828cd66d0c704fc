"""Lists folders of class folders, with splits and sites, without masks and copies."""
