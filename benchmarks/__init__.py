"""How fast it is: ``python -m benchmarks`` measures the service beside baselines, and says whether targets are met."""
