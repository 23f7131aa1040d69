"""Where sound, pictures and style come from: files, devices, recorded tracks."""
