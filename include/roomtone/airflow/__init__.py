"""roomtone in Airflow: assets, what the tasks run, the launcher of a private instance, the plugin's pages."""
