"""Find moments in videos by what is seen and what is heard."""
