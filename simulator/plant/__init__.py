"""What really happens on the feeder: circuit laws, mechanisms, fuses; the truth that verdicts are judged on."""
