"""The program as a module: ``python -m skipnorm``."""

from skipnorm.cli.main import main

if __name__ == "__main__":
    main()
