"""`python -m worker.demo`, which is `make demo`."""

from worker.terminal.faults import reports_faults


@reports_faults
def main() -> None:
    """Run the demo."""
    from worker.demo.command import app

    app(prog_name="python -m worker.demo")


if __name__ == "__main__":
    main()
