"""Training of small networks in one process: landmarks, face finder, lip expert, E_audio from lessons."""
